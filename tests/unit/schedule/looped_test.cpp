// Looped stages: each chunk of layers passes all micro-batches before the stage goes on to its next chunk.
#include <gmock/gmock.h>

#include "optpipe/schedule/text.hpp"
#include "optpipe/schedule/validate.hpp"
#include "unit/schedule/programs.hpp"

namespace optpipe::schedule {
namespace {

using ::testing::IsEmpty;

std::int64_t count(const Program& program, StepKind kind) {
  return std::ranges::count(program.steps, kind, &Step::kind);
}

// Also those that nobody would choose: chunks that do not divide evenly, one chunk a rank, fewer
// micro-batches than ranks, many more.
TEST(Looped, NoFaultsForAnyShape) {
  for (const int ranks : {2, 3})
    for (const std::int64_t chunk_layers : {1, 2, 3})
      for (const std::int64_t micro_batches : {1, 2, 5, 9})
        for (const std::int64_t gpu_batches : {1, 3})
          for (const Offload weights : {kResident, kHost, kDisk})
            for (const Offload state : {kResident, kHost, kDisk})
              for (const int slots : {2, 7}) {
                const Shape shape{.ranks = ranks,
                                  .layers = 13,
                                  .token_steps = 3,
                                  .micro_batches = micro_batches,
                                  .gpu_batches = gpu_batches,
                                  .layer_weights = weights,
                                  .head_weights = weights,
                                  .kv = state,
                                  .hidden = state,
                                  .weight_slots = slots,
                                  .chunk_layers = chunk_layers};
                ASSERT_THAT(find_faults(build_all(shape)), IsEmpty())
                    << ranks << " ranks, chunks of " << chunk_layers << ", " << micro_batches
                    << " micro-batches, " << gpu_batches << " GPU batches, weights " << weights.any
                    << weights.disk << ", state " << state.any << state.disk << ", " << slots << " slots";
              }
}

TEST(Looped, NoFaultsWithAttentionOnTheHost) {
  for (const int ranks : {2, 3})
    for (const std::int64_t micro_batches : {1, 3, 4, 7})
      for (const std::int64_t gpu_batches : {1, 2, 4})
        for (const Offload hidden : {kResident, kHost})
          for (const bool kv_streams : {false, true})
            for (const int slots : {2, 3, 4}) {
              const Shape shape{.ranks = ranks,
                                .layers = 11,
                                .token_steps = 3,
                                .micro_batches = micro_batches,
                                .gpu_batches = gpu_batches,
                                .layer_weights = kHost,
                                .kv = kHost,
                                .hidden = hidden,
                                .weight_slots = slots,
                                .host_attention = {.any = true, .kv_streams = kv_streams},
                                .chunk_layers = slots == 4 ? 2 : 1};
              ASSERT_THAT(find_faults(build_all(shape)), IsEmpty())
                  << ranks << " ranks, " << micro_batches << " micro-batches, " << gpu_batches
                  << " GPU batches, hidden " << hidden.any << ", " << slots << " slots, KV streams "
                  << kv_streams;
            }
}

TEST(Looped, OneRankIsTheContiguousProgram) {
  const Shape contiguous{.token_steps = 2, .micro_batches = 2, .gpu_batches = 2, .layer_weights = kHost};
  Shape looped = contiguous;
  looped.chunk_layers = 2;
  EXPECT_EQ(to_text(build_all(looped).front()), to_text(build_all(contiguous).front()));
}

// One load of a chunk serves all micro-batches, where contiguous stages load once a micro-batch.
TEST(Looped, LoadsEachLayerOncePerTokenStep) {
  for (const std::int64_t chunk_layers : {1, 2}) {
    const auto programs = build_all({.ranks = 2,
                                     .layers = 8 * chunk_layers,
                                     .token_steps = 5,
                                     .micro_batches = 4,
                                     .gpu_batches = 3,
                                     .layer_weights = kHost,
                                     .weight_slots = static_cast<int>(2 * chunk_layers),
                                     .chunk_layers = chunk_layers});
    for (const Program& program : programs)
      EXPECT_EQ(count(program, StepKind::load_weights), 4 * chunk_layers * 5 * program.weight_parts);
  }
}

// The parts of a load are spread over all batches of the chunk before it: the load queue is never long busy
// with weights while a batch waits for its keys and values, and never idle.
TEST(Looped, LoadsAreSpreadOverTheChunkBefore) {
  for (const std::int64_t chunk_layers : {1, 2}) {
    const auto program = build_all({.ranks = 2,
                                    .layers = 8,
                                    .token_steps = 3,
                                    .micro_batches = 3,
                                    .gpu_batches = 2,
                                    .layer_weights = kHost,
                                    .weight_slots = static_cast<int>(2 * chunk_layers),
                                    .chunk_layers = chunk_layers})
                             .front();
    std::int64_t parts = 0, most = 0, first_loads = 0;
    for (const Step& step : program.steps) {
      if (step.kind == StepKind::load_weights) most = std::max(most, ++parts);
      if (step.kind != StepKind::project_qkv) continue;
      if (first_loads == 0) first_loads = std::exchange(most, 0);
      parts = 0;
    }
    EXPECT_LE(first_loads, (1 + chunk_layers) * program.weight_parts);
    EXPECT_EQ(most, 1) << "chunks of " << chunk_layers;
  }
}

}  // namespace
}  // namespace optpipe::schedule
