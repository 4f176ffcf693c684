#include "executor/stage/compute_runs.hpp"

#include <gmock/gmock.h>

#include "unit/schedule/programs.hpp"

namespace optpipe::executor {
namespace {

using schedule::build_all;
using schedule::kDisk;
using schedule::kHost;
using schedule::Program;
using schedule::Queue;
using schedule::Shape;
using schedule::StepKind;

// Steps between which another queue could have something to say would be merged wrongly: so every wait of a
// step behind the first must be for the run itself, or be one that the first has waited for.
void expect_sound(const Program& program) {
  for (const ComputeRun& run : find_compute_runs(program)) {
    ASSERT_EQ(run.first, run.steps.front());
    const auto& first = program.step(run.first);
    for (const StepId id : run.steps) {
      const auto& step = program.step(id);
      EXPECT_EQ(step.queue, Queue::compute);
      EXPECT_GT(step.token_step.value, 0);
      EXPECT_EQ(step.token_step, first.token_step);
      EXPECT_EQ(step.micro_batch, first.micro_batch);
      for (std::size_t q = 0; q < schedule::kQueues; ++q) {
        if (static_cast<Queue>(q) != Queue::compute) {
          EXPECT_LE(step.after[q], first.after[q]);
        }
      }
    }
    // Nothing else of the compute queue stands between them.
    for (std::int32_t i = run.first.value; i <= run.last().value; ++i) {
      const bool is_compute = program.step(StepId(i)).queue == Queue::compute;
      EXPECT_EQ(is_compute, std::ranges::count(run.steps, StepId(i)) == 1) << i;
    }
  }
}

TEST(ComputeRuns, TakeAllLayersOfADecodeStepWhereEverythingIsResident) {
  const Program program = build_all({.layers = 6, .token_steps = 4, .micro_batches = 3}).front();
  const auto runs = find_compute_runs(program);
  ASSERT_EQ(runs.size(), 3u * 3u);  // token steps after the prompt, micro-batches
  for (const auto& run : runs) {
    EXPECT_EQ(run.steps.size(), 6u * 3u);
    EXPECT_EQ(program.step(run.first).kind, StepKind::project_qkv);
    EXPECT_EQ(program.step(run.first).layer, LayerId(0));
    EXPECT_EQ(program.step(run.last()).kind, StepKind::feed_forward);
    EXPECT_EQ(program.step(run.last()).layer, LayerId(5));
  }
  expect_sound(program);
}

TEST(ComputeRuns, AreTheStagesOwnLayersOnEveryRank) {
  for (const Program& program : build_all({.ranks = 3, .layers = 24, .micro_batches = 3})) {
    const auto runs = find_compute_runs(program);
    EXPECT_EQ(runs.size(), 2u * 3u) << "rank " << program.rank.value;
    expect_sound(program);
  }
}

TEST(ComputeRuns, EndWhereALayerWaitsForATransfer) {
  EXPECT_TRUE(find_compute_runs(build_all({.layer_weights = kHost}).front()).empty());
  EXPECT_TRUE(find_compute_runs(build_all({.kv = kHost}).front()).empty());
  EXPECT_TRUE(find_compute_runs(build_all({.hidden = kHost}).front()).empty());
}

TEST(ComputeRuns, AreSoundForAllShapes) {
  for (const int ranks : {1, 2, 4})
    for (const std::int64_t micro_batches : {1, 2, 5})
      for (const std::int64_t gpu_batches : {1, 2, 3})
        for (const auto& weights : {schedule::kResident, kHost, kDisk})
          for (const auto& kv : {schedule::kResident, kHost})
            for (const Program& program : build_all({.ranks = ranks,
                                          .layers = 5,
                                          .micro_batches = micro_batches,
                                          .gpu_batches = gpu_batches,
                                          .layer_weights = weights,
                                          .kv = kv}))
              expect_sound(program);
}

}  // namespace
}  // namespace optpipe::executor
