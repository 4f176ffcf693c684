#include "schedule/dependencies.hpp"

#include <algorithm>
#include <numeric>

namespace optpipe::schedule {

void join(Clock& clock, const Clock& other) {
  for (std::size_t q = 0; q < kQueues; ++q) clock[q] = std::max(clock[q], other[q]);
}

void DependencyTracker::order(Step& step, StepId id) {
  Clock wanted{};
  const auto want = [&](StepId earlier, Queue queue) {
    auto& entry = wanted[static_cast<std::size_t>(queue)];
    entry = std::max(entry, earlier);
  };
  const auto queue_of_step =
      [&](StepId earlier) {  // finished_ holds the step itself in its own queue's entry
        const Clock& clock = finished_[static_cast<std::size_t>(earlier.value)];
        return static_cast<Queue>(std::ranges::find(clock, earlier) - clock.begin());
      };
  for (const Access& access : step.accesses()) {
    Uses& uses = uses_[static_cast<std::size_t>(access.buffer.value)];
    if (uses.writer.valid()) want(uses.writer, queue_of_step(uses.writer));
    if (access.write)
      for (std::size_t q = 0; q < kQueues; ++q) want(uses.readers[q], static_cast<Queue>(q));
  }

  // Known without being told: all earlier steps of the own queue, and whatever they waited for.
  const auto own = static_cast<std::size_t>(step.queue);
  Clock known{};
  if (newest_[own].valid()) known = finished_[static_cast<std::size_t>(newest_[own].value)];
  // Later steps imply more: take them first, and leave out what they imply.
  std::array<std::size_t, kQueues> by_age{};
  std::iota(by_age.begin(), by_age.end(), std::size_t{0});
  std::ranges::sort(by_age, [&](auto a, auto b) { return wanted[a] > wanted[b]; });
  step.after.fill(StepId{});
  for (const auto q : by_age) {
    if (!wanted[q].valid() || wanted[q] <= known[q]) continue;
    step.after[q] = wanted[q];
    join(known, finished_[static_cast<std::size_t>(wanted[q].value)]);
  }

  known[own] = id;
  finished_.push_back(known);
  newest_[own] = id;
  for (const Access& access : step.accesses()) {
    Uses& uses = uses_[static_cast<std::size_t>(access.buffer.value)];
    if (access.write)
      uses = Uses{id, {}};
    else
      uses.readers[own] = id;
  }
}

}  // namespace optpipe::schedule
