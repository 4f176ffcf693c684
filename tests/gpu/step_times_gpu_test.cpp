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

// Steps of a run with everything on the GPU, one GPU batch, that went as graphs: one time for all layers.
std::size_t count_graphs(const std::vector<std::int64_t>& lengths, const Golden& golden) {
  const Setting setting{.gpu_batch_size = static_cast<std::int64_t>(golden.prompts.size()), .cuda = true};
  const Output output = run_pipeline(golden.model, setting, golden.prompts, lengths);
  EXPECT_EQ(output.timelines.size(), 1u);
  const auto& timeline = output.timelines.front();
  std::size_t graphs = 0;
  for (const auto& time : timeline.times) {
    if (!time.last.valid()) continue;
    ++graphs;
    EXPECT_EQ(timeline.program.step(time.step).kind, StepKind::project_qkv);
    EXPECT_EQ(timeline.program.step(time.last).kind, StepKind::feed_forward);
    EXPECT_GE(timeline.program.step(time.step).token_step.value, 2);
  }
  return graphs;
}

// Decode runs as graphs from the third token step on: the first decode step shows what is worth a graph.
TEST_F(GpuStepTimes, AGraphHasOneTimeForAllItsSteps) {
  const Golden golden = load_golden(golden_names().front());
  EXPECT_EQ(count_graphs(std::vector<std::int64_t>(golden.prompts.size(), 6), golden), 4u);
}

TEST_F(GpuStepTimes, SequencesThatEndLeaveTheGraphAsItIs) {
  const Golden golden = load_golden(golden_names().front());
  ASSERT_GT(golden.prompts.size(), 3u);
  ASSERT_LE(golden.prompts.size(), 8u) << "of one class of rows";
  std::vector<std::int64_t> lengths(golden.prompts.size(), 8);  // two go on to the end
  for (std::size_t i = 2; i < lengths.size(); ++i) lengths[i] = static_cast<std::int64_t>(1 + i);
  EXPECT_EQ(count_graphs(lengths, golden), 6u);
}

// Twelve sequences that end one by one: 12 rows serve four steps, 8 rows seven, one row one.
TEST_F(GpuStepTimes, ABatchThatShrinksNeedsAGraphForEachClassOfRows) {
  Golden golden = load_golden(golden_names().front());
  std::vector<std::int64_t> lengths;
  const auto given = golden.prompts;
  golden.prompts.clear();
  for (std::size_t i = 0; i < 12; ++i) {
    golden.prompts.push_back(given[i % given.size()]);
    lengths.push_back(static_cast<std::int64_t>(i) + 2);
  }
  EXPECT_EQ(count_graphs(lengths, golden), 3u + 6u);
}

}  // namespace
}  // namespace optpipe::test
