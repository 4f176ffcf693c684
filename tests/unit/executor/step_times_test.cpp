// What executors report of the times of steps.
#include <gmock/gmock.h>

#include <map>

#include "support/golden.hpp"
#include "support/pipeline.hpp"
#include "support/timeline.hpp"

namespace optpipe::test {
namespace {

TEST(StepTimes, EveryStepHasOneAndNoneBeginsBeforeWhatItWaitsFor) {
  const Golden golden = load_golden(golden_names().front());
  for (const int ranks : {1, 2})
    for (const bool overlap : {true, false}) {
      const Setting setting{
          .ranks = ranks, .percent = {30, 40, 20, 50, 50, 50}, .gpu_batches = 2, .overlap = overlap};
      const Output output = run_pipeline(golden.model, setting, golden.prompts, golden.new_tokens());
      ASSERT_GE(output.timelines.size(), static_cast<std::size_t>(ranks));
      for (const auto& timeline : output.timelines) {
        EXPECT_EQ(timeline.times.size(), timeline.program.steps.size());
        expect_in_order(timeline, 0);
      }
    }
}

}  // namespace
}  // namespace optpipe::test
