// Times of steps on a GPU: from events, on the host's clock.
#include <gmock/gmock.h>

#include "support/golden.hpp"
#include "support/pipeline.hpp"
#include "support/timeline.hpp"

namespace optpipe::test {
namespace {

using schedule::Queue;
using schedule::StepKind;

constexpr double kClock = 50e-6;  // of a sum of differences of events

class GpuStepTimes : public ::testing::Test {
 protected:
  void SetUp() override {
    if (executor::cuda_devices() == 0)
      GTEST_SKIP() << "needs a GPU: run bash tests/run.sh --gpu on a machine that has one";
  }
};

TEST_F(GpuStepTimes, NoStepBeginsBeforeWhatItWaitsFor) {
  const Golden golden = load_golden(golden_names().front());
  for (const auto& percent :
       std::vector<std::vector<double>>{{0, 100, 0, 100, 0, 100}, {30, 40, 20, 50, 50, 50}}) {
    const Setting setting{.ranks = 2, .percent = percent, .gpu_batches = 2, .cuda = true};
    const Output output = run_pipeline(golden.model, setting, golden.prompts, golden.new_tokens());
    for (const auto& timeline : output.timelines) {
      std::size_t accepts = 0;
      for (const auto& step : timeline.program.steps) accepts += step.kind == StepKind::accept;
      EXPECT_EQ(timeline.times.size() + accepts, timeline.program.steps.size());
      expect_in_order(timeline, kClock, true);
    }
  }
}

// With everything on the GPU, decode runs as graphs from the third token step on: one time for all layers.
TEST_F(GpuStepTimes, AGraphHasOneTimeForAllItsSteps) {
  const Golden golden = load_golden(golden_names().front());
  const std::vector<std::int64_t> lengths(golden.prompts.size(), 6);
  const Setting setting{.gpu_batch_size = static_cast<std::int64_t>(golden.prompts.size()), .cuda = true};
  const Output output = run_pipeline(golden.model, setting, golden.prompts, lengths);
  ASSERT_EQ(output.timelines.size(), 1u);
  const auto& timeline = output.timelines.front();
  std::size_t graphs = 0;
  for (const auto& time : timeline.times) {
    if (!time.last.valid()) continue;
    ++graphs;
    EXPECT_EQ(timeline.program.step(time.step).kind, StepKind::project_qkv);
    EXPECT_EQ(timeline.program.step(time.last).kind, StepKind::feed_forward);
    EXPECT_GE(timeline.program.step(time.step).token_step.value, 2);
  }
  EXPECT_EQ(graphs, 4u);  // token steps 2 to 5; the first decode step shows what is worth a graph
}

}  // namespace
}  // namespace optpipe::test
