#include "optpipe/schedule/timeline.hpp"

#include <algorithm>

#include "optpipe/base/check.hpp"

namespace optpipe::schedule {
namespace {

struct Interval {
  double begin = 0, end = 0;
};
using Intervals = std::vector<Interval>;

// Disjoint, in order.
Intervals merge(Intervals intervals) {
  std::ranges::sort(intervals, {}, &Interval::begin);
  Intervals merged;
  for (const Interval& each : intervals) {
    if (!merged.empty() && each.begin <= merged.back().end)
      merged.back().end = std::max(merged.back().end, each.end);
    else
      merged.push_back(each);
  }
  return merged;
}

double length(const Intervals& intervals) {
  double sum = 0;
  for (const Interval& each : intervals) sum += each.end - each.begin;
  return sum;
}

// Of two merged lists.
double overlap(const Intervals& a, const Intervals& b) {
  double sum = 0;
  for (std::size_t i = 0, j = 0; i < a.size() && j < b.size();) {
    sum += std::max(0.0, std::min(a[i].end, b[j].end) - std::max(a[i].begin, b[j].begin));
    if (a[i].end < b[j].end)
      ++i;
    else
      ++j;
  }
  return sum;
}

PhaseUse use_of(std::array<Intervals, kQueues> queues) {
  PhaseUse use;
  double begin = 0, end = 0;
  bool any = false;
  for (auto& queue : queues) {
    queue = merge(std::move(queue));
    if (queue.empty()) continue;
    begin = any ? std::min(begin, queue.front().begin) : queue.front().begin;
    end = any ? std::max(end, queue.back().end) : queue.back().end;
    any = true;
  }
  use.span_s = end - begin;
  Intervals computing;
  for (std::size_t q = 0; q < kQueues; ++q)
    if (computes(static_cast<Queue>(q)))
      computing.insert(computing.end(), queues[q].begin(), queues[q].end());
  computing = merge(std::move(computing));
  for (std::size_t q = 0; q < kQueues; ++q) {
    use.busy_s[q] = length(queues[q]);
    use.covered_s[q] = overlap(queues[q], computing);
  }
  return use;
}

void add(PhaseUse& sum, const PhaseUse& use) {
  sum.span_s += use.span_s;
  for (std::size_t q = 0; q < kQueues; ++q) {
    sum.busy_s[q] += use.busy_s[q];
    sum.covered_s[q] += use.covered_s[q];
  }
}

}  // namespace

std::vector<double> receive_seconds(const Program& program, std::span<const StepTime> times) {
  std::vector<double> seconds;
  for (const StepTime& time : times)
    if (program.step(time.step).kind == StepKind::recv_hidden) seconds.push_back(time.seconds());
  return seconds;
}

void find_waiting(const Program& program, std::span<StepTime> times, std::span<const double> receive_s) {
  std::size_t message = 0;
  for (StepTime& time : times) {
    if (program.step(time.step).kind != StepKind::send_hidden) continue;
    OPTPIPE_CHECK(message < receive_s.size(), "{} messages were received, and more were sent",
                  receive_s.size());
    time.waited_s = std::max(0.0, time.end_s - time.begin_s - receive_s[message++]);
  }
}

Utilization& operator+=(Utilization& sum, const Utilization& round) {
  add(sum.prefill, round.prefill);
  add(sum.decode, round.decode);
  return sum;
}

Utilization utilization(const Program& program, std::span<const StepTime> times) {
  std::array<std::array<Intervals, kQueues>, 2> phases;
  for (const StepTime& time : times) {
    const Step& step = program.step(time.step);
    const std::size_t phase = step.token_step.value == 0 ? 0 : 1;
    phases[phase][static_cast<std::size_t>(step.queue)].push_back({time.work_begin_s(), time.end_s});
  }
  return {use_of(std::move(phases[0])), use_of(std::move(phases[1]))};
}

}  // namespace optpipe::schedule
