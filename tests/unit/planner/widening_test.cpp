// Where a GPU keeps a layer's quantized matrices as halves.
#include "optpipe/planner/widening.hpp"

#include <gtest/gtest.h>

#include "optpipe/planner/stage_plan.hpp"

namespace optpipe::planner {
namespace {

constexpr std::int64_t kHidden = 7168, kFfn = 4 * kHidden;  // of OPT-30B
constexpr Bytes kLayer = (4 * kHidden * kHidden + 2 * kHidden * kFfn) * 2;

RunRequest make_run(std::int64_t prompts, std::int64_t prompt, Bytes gpu = 80 * kGiB,
                    Backend backend = Backend::cuda, int ranks = 1) {
  RunRequest run;
  run.config = model::config_of_size("opt-30b");
  run.slices = model::balance_stages(run.config, ranks);
  for (int i = 0; i < ranks; ++i) {
    RankResources rank;
    rank.host = "node";
    rank.backend = backend;
    if (backend == Backend::cuda) rank.gpu = "gpu" + std::to_string(i);
    rank.gpu_memory = {gpu, "--gpu-mem"};
    rank.host_memory = {400 * kGiB, "--host-mem"};
    run.ranks.push_back(rank);
  }
  for (std::int64_t i = 0; i < prompts; ++i) run.sequences.push_back({i, prompt, 32});
  return run;
}

memory::Policy policy(std::int64_t size, std::int64_t batches, StorageFormat weights = StorageFormat::q4) {
  memory::Policy made{.weights = {20, 80}, .kv = {0, 100}, .hidden = {0, 100}};
  made.weight_format = weights;
  made.gpu_batch_size = size;
  made.gpu_batches = batches;
  return made;
}

Bytes on_gpu(const RunRequest& run, const memory::Policy& policy) {
  return plan_run(run, policy).front().total(Place::gpu);
}

TEST(Widening, ALayerForSeveralBatches) {
  const RunRequest run = make_run(192, 512);
  const auto asked = policy(48, 4);
  EXPECT_EQ(widening_bytes(run, asked), kLayer);
  const auto settled = settle_widening(run, asked);
  EXPECT_TRUE(settled.keep_widened);
  EXPECT_EQ(on_gpu(run, settled), on_gpu(run, asked) + kLayer + runtime::kGpuGranule);
  const StagePlan plan = plan_stage(
      {run.config, run.slices[0], DType::f16, memory::make_rounds(run.sequences, settled, 1), settled});
  EXPECT_EQ(plan.needs.widened_bytes, 0U);  // of the CPU backend
}

TEST(Widening, OnlyQuantizedWeightsOnGpus) {
  EXPECT_TRUE(settle_widening(make_run(8, 512), policy(8, 1)).keep_widened);
  EXPECT_TRUE(settle_widening(make_run(8, 512), policy(8, 1, StorageFormat::q8)).keep_widened);
  EXPECT_FALSE(settle_widening(make_run(192, 512), policy(48, 4, StorageFormat::native)).keep_widened);
  EXPECT_FALSE(settle_widening(make_run(192, 512, 0, Backend::cpu), policy(48, 4)).keep_widened);
}

// To the byte: what fits without it fits, and then nothing is kept.
TEST(Widening, NothingStopsFitting) {
  for (const int ranks : {1, 2}) {
    const auto asked = policy(48, 2);
    auto kept = asked;
    kept.keep_widened = true;
    RunRequest run = make_run(96 * ranks, 512, 80 * kGiB, Backend::cuda, ranks);
    Bytes most = 0;
    for (const Ledger& ledger : plan_run(run, kept)) most = std::max(most, ledger.total(Place::gpu));
    for (const auto& [gpu, fits] : {std::pair(most, true), {most - 1, false}}) {
      for (auto& rank : run.ranks) rank.gpu_memory.bytes = gpu;
      const auto settled = settle_widening(run, asked);
      EXPECT_EQ(settled.keep_widened, fits) << ranks;
      EXPECT_TRUE(find_shortages(run, plan_run(run, settled)).empty()) << ranks;
    }
  }
}

}  // namespace
}  // namespace optpipe::planner
