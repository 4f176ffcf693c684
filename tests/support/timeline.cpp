#include "support/timeline.hpp"

#include <gtest/gtest.h>

#include <optional>

namespace optpipe::test {

using schedule::kQueues;
using schedule::StepTime;

namespace {

bool is_on_device(const schedule::Step& step) {
  using schedule::Queue;
  return step.queue == Queue::compute || step.queue == Queue::load || step.queue == Queue::store;
}

}  // namespace

void expect_in_order(const Timeline& timeline, double tolerance, bool devices_only) {
  const auto& program = timeline.program;
  std::vector<std::optional<StepTime>> times(program.steps.size());
  std::array<double, kQueues> newest{};
  for (const StepTime& time : timeline.times) {
    const auto i = static_cast<std::size_t>(time.step.value);
    ASSERT_FALSE(times[i].has_value()) << "step " << i << " has two times";
    times[i] = time;
    const auto queue = static_cast<std::size_t>(program.steps[i].queue);
    EXPECT_LE(time.begin_s, time.end_s + tolerance) << "step " << i;
    EXPECT_GE(time.begin_s, newest[queue] - tolerance) << "step " << i << " overlaps the one before it";
    newest[queue] = time.end_s;
  }
  for (const StepTime& time : timeline.times) {
    for (const StepId before : program.step(time.step).after) {
      if (!before.valid() || !times[static_cast<std::size_t>(before.value)]) continue;
      if (devices_only && !(is_on_device(program.step(time.step)) && is_on_device(program.step(before))))
        continue;
      EXPECT_GE(time.begin_s, times[static_cast<std::size_t>(before.value)]->end_s - tolerance)
          << "step " << time.step.value << " after step " << before.value;
    }
  }
}

}  // namespace optpipe::test
