#include "optpipe/metrics/attribution.hpp"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>
#include <vector>

namespace optpipe::metrics {
namespace {

using schedule::kQueues;
using schedule::Program;
using schedule::Queue;
using schedule::Step;
using schedule::StepKind;
using schedule::StepTime;

Activity activity_of(Queue queue) {
  switch (queue) {
    case Queue::compute:
      return Activity::compute;
    case Queue::load:
      return Activity::load;
    case Queue::store:
      return Activity::store;
    case Queue::disk_read:
      return Activity::disk_read;
    case Queue::disk_write:
      return Activity::disk_write;
    case Queue::send:
      return Activity::send;
    case Queue::recv:
      return Activity::recv;
    case Queue::host:
      return Activity::host;
  }
  return Activity::waiting;
}

struct Change {
  double at_s = 0;
  Activity activity{};
  int by = 0;
};

// Instants that split a run: until `fill_s` the stage has nothing to do yet, from `drain_s` on nothing any
// more.
struct Marks {
  double fill_s = 0, prefill_s = 0, drain_s = 0, end_s = 0;
};

Marks find_marks(const Program& program, std::span<const StepTime> times) {
  Marks marks;
  bool receives = false;
  double first_s = std::numeric_limits<double>::infinity();
  for (const StepTime& time : times) {
    const Step& step = program.step(time.step);
    // Of looped stages the first one computes before it receives anything.
    if (step.kind == StepKind::recv_hidden || step.queue == Queue::compute)
      first_s = std::min(first_s, time.begin_s);
    receives = receives || step.kind == StepKind::recv_hidden;
    if (step.token_step.value == 0) marks.prefill_s = std::max(marks.prefill_s, time.end_s);
    marks.end_s = std::max(marks.end_s, time.end_s);
    // Waiting for the last tokens is no work of the stage's own.
    if (step.queue != Queue::recv && step.kind != StepKind::accept)
      marks.drain_s = std::max(marks.drain_s, time.end_s);
  }
  if (receives) marks.fill_s = first_s;
  if (program.ranks == 1) marks.drain_s = marks.end_s;
  return marks;
}

std::vector<Change> changes_of(const Program& program, std::span<const StepTime> times) {
  std::vector<Change> changes;
  changes.reserve(2 * times.size());
  for (const StepTime& time : times) {
    const Activity activity = activity_of(program.step(time.step).queue);
    changes.push_back({time.work_begin_s(), activity, 1});
    changes.push_back({time.end_s, activity, -1});
  }
  std::ranges::sort(changes, {}, &Change::at_s);
  return changes;
}

}  // namespace

const char* name_of(Activity activity) {
  constexpr std::array names{"compute", "host", "load",    "store", "disk_read", "disk_write",
                             "send",    "recv", "waiting", "fill",  "drain"};
  static_assert(names.size() == kActivities);
  return names[static_cast<std::size_t>(activity)];
}

double PhaseSplit::total() const { return std::accumulate(seconds.begin(), seconds.end(), 0.0); }

RunSplit split_run(const Program& program, std::span<const StepTime> times) {
  const Marks marks = find_marks(program, times);
  RunSplit split;
  std::array<int, kActivities> running{};
  const auto current = [&](double at_s) {
    if (at_s < marks.fill_s) return Activity::fill;
    if (at_s >= marks.drain_s) return Activity::drain;
    const auto busy = std::ranges::find_if(running, [](int count) { return count > 0; });
    return busy == running.end() ? Activity::waiting : static_cast<Activity>(busy - running.begin());
  };
  double now_s = 0;
  const auto advance = [&](double to_s) {
    while (now_s < to_s) {  // up to the next mark, if one comes first
      double end_s = to_s;
      for (const double mark : {marks.fill_s, marks.prefill_s, marks.drain_s})
        if (mark > now_s) end_s = std::min(end_s, mark);
      (now_s < marks.prefill_s ? split.prefill : split.decode)[current(now_s)] += end_s - now_s;
      now_s = end_s;
    }
  };
  for (const Change& change : changes_of(program, times)) {
    advance(change.at_s);
    running[static_cast<std::size_t>(change.activity)] += change.by;
  }
  return split;
}

std::optional<double> kv_share(const Program& program, std::span<const StepTime> times) {
  std::array<double, kQueues> busy{}, of_kv{};
  for (const StepTime& time : times) {
    const Step& step = program.step(time.step);
    if (step.token_step.value == 0) continue;
    if (time.last.valid()) return std::nullopt;
    const auto q = static_cast<std::size_t>(step.queue);
    busy[q] += time.seconds();
    if (step.kind == StepKind::attend || step.kind == StepKind::load_kv || step.kind == StepKind::read_kv)
      of_kv[q] += time.seconds();
  }
  busy[static_cast<std::size_t>(Queue::recv)] = busy[static_cast<std::size_t>(Queue::send)] = 0;
  const auto busiest = static_cast<std::size_t>(std::ranges::max_element(busy) - busy.begin());
  if (busy[busiest] <= 0) return std::nullopt;
  return of_kv[busiest] / busy[busiest];
}

nlohmann::json to_json(const PhaseSplit& split) {
  nlohmann::json json;
  for (std::size_t a = 0; a < kActivities; ++a) json[name_of(static_cast<Activity>(a))] = split.seconds[a];
  json["total"] = split.total();
  return json;
}

}  // namespace optpipe::metrics
