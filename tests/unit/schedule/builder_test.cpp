#include <gmock/gmock.h>

#include "optpipe/schedule/validate.hpp"
#include "unit/schedule/programs.hpp"

namespace optpipe::schedule {
namespace {

using ::testing::IsEmpty;

TEST(Contiguous, NoFaultsForAnyShape) {
  for (const int ranks : {1, 2, 3, 5})
    for (const std::int64_t micro_batches : {1, 2, 4, 7})
      for (const std::int64_t gpu_batches : {1, 2, 3})
        for (const std::int64_t token_steps : {1, 2, 4})
          for (const Offload weights : {kResident, kHost, kDisk})
            for (const Offload state : {kResident, kHost, kDisk})
              for (const int slots : {1, 2, 3}) {
                const auto programs = build_all({ranks, 6, token_steps, micro_batches, gpu_batches, weights,
                                                 weights, state, state, slots});
                ASSERT_THAT(find_faults(programs), IsEmpty())
                    << ranks << " ranks, " << micro_batches << " micro-batches, " << gpu_batches
                    << " GPU batches, " << token_steps << " token steps, weights " << weights.any
                    << weights.disk << ", state " << state.any << state.disk << ", " << slots << " slots";
              }
}

// Over the X cache attention multiplies by the layer's weights: they must be in their slot still.
TEST(Contiguous, AttentionMayUseWeights) {
  for (const bool uses : {false, true})
    for (const std::int64_t chunk_layers : {0, 1}) {
      const auto programs = build_all({.ranks = 2,
                                       .micro_batches = 3,
                                       .gpu_batches = 2,
                                       .layer_weights = kDisk,
                                       .kv = kHost,
                                       .chunk_layers = chunk_layers,
                                       .attend_uses_weights = uses});
      ASSERT_THAT(find_faults(programs), IsEmpty());
      for (const Program& program : programs)
        for (const Step& step : program.steps)
          if (step.kind == StepKind::attend) {
            ASSERT_EQ(program.index_of(step, BufferKind::weight_slot) >= 0, uses);
          }
    }
}

// Programs that take up where another one ended.
TEST(Contiguous, NoFaultsInProgramsThatContinue) {
  for (const int ranks : {1, 2, 3})
    for (const std::int64_t chunk_layers : {0, 1})
      for (const std::int64_t first : {1, 4, 64})
        for (const Offload state : {kResident, kHost, kDisk})
          for (const bool continues : {false, true})
            ASSERT_THAT(find_faults(build_all({.ranks = ranks,
                                               .token_steps = 3,
                                               .micro_batches = 4,
                                               .gpu_batches = 2,
                                               .layer_weights = kHost,
                                               .kv = state,
                                               .hidden = state,
                                               .chunk_layers = chunk_layers,
                                               .first_token_step = first,
                                               .continues = continues})),
                        IsEmpty())
                << ranks << " ranks, from token step " << first << ", state " << state.any << state.disk;
}

// Rows of the last token step are kept where another program reads them.
TEST(Contiguous, StoresTheLastRowsOnlyForAnotherProgram) {
  const auto stores = [](bool continues) {
    const auto program = build_all({.token_steps = 2, .kv = kHost, .continues = continues}).front();
    return std::ranges::count(program.steps, StepKind::store_kv, &Step::kind);
  };
  EXPECT_EQ(stores(false), 6);
  EXPECT_EQ(stores(true), 12);
}

std::int64_t count(const Program& program, StepKind kind) {
  return std::ranges::count(program.steps, kind, &Step::kind);
}

TEST(Contiguous, ComputesEveryLayerOfEveryBatch) {
  const auto programs = build_all({.ranks = 3, .token_steps = 4, .micro_batches = 2, .gpu_batches = 5});
  std::int64_t layers = 0;
  for (const auto& program : programs) layers += count(program, StepKind::feed_forward);
  EXPECT_EQ(layers, 6 * 4 * 2 * 5);
  EXPECT_EQ(count(programs.back(), StepKind::sample), 4 * 2 * 5);
  EXPECT_EQ(count(programs.front(), StepKind::accept), 4 * 2 * 5);
}

// A loaded layer serves all GPU batches of its micro-batch.
TEST(Contiguous, LoadsALayerOncePerMicroBatch) {
  const auto programs =
      build_all({.token_steps = 3, .micro_batches = 2, .gpu_batches = 4, .layer_weights = kHost});
  EXPECT_EQ(count(programs[0], StepKind::load_weights), 6 * 3 * 2 * programs[0].weight_parts);
}

// Where the slots hold the whole slice, weights are loaded once for the whole run.
TEST(Contiguous, LoadsNothingTwiceWhereSlotsSuffice) {
  const auto programs =
      build_all({.token_steps = 9, .gpu_batches = 2, .layer_weights = kHost, .weight_slots = 6});
  EXPECT_EQ(count(programs[0], StepKind::load_weights), 6 * programs[0].weight_parts);
}

// The load of a layer must be able to run while the layer before it is computed: it may wait for nothing
// newer than the last use of its slot, two layers back.
TEST(Contiguous, LoadsWaitOnlyForTheirSlot) {
  const auto program = build_all({.token_steps = 3, .gpu_batches = 2, .layer_weights = kHost}).front();
  const auto compute = static_cast<std::size_t>(Queue::compute);
  for (const Step& step : program.steps) {
    if (step.kind != StepKind::load_weights || !step.after[compute].valid()) continue;
    const Step& awaited = program.step(step.after[compute]);
    const auto visits_back =
        (step.token_step.value * 6 + step.layer.value) - (awaited.token_step.value * 6 + awaited.layer.value);
    EXPECT_EQ(visits_back, 2);
  }
}

TEST(Contiguous, NothingMovesWhereAllIsOnTheDevice) {
  const auto program = build_all({.token_steps = 3}).front();
  for (const Step& step : program.steps) EXPECT_EQ(step.queue, Queue::compute) << name_of(step.kind);
}

TEST(Contiguous, BuffersAddUpToTheirSizes) {
  StageParameters p;
  p.slice = {LayerId(0), 2, true, true};
  p.token_steps = 2;
  p.layer_weights = kDisk;
  p.kv = kDisk;
  p.sizes.weight_slot = 1000;
  p.sizes.weight_stage = 100;
  p.sizes.hidden_work = 10;
  p.sizes.attention = 1;
  p.sizes.kv_slot = 20'000;
  p.sizes.kv_stage = 2'000'000;
  p.sizes.kv_block = [](auto, auto, auto) { return std::array<Bytes, 3>{30, 300'000, 7}; };
  const auto bytes = buffer_bytes(build_program(p));
  EXPECT_EQ(bytes[0], 2 * 1000 + 10 + 1 + 3 * 20'000 + 2 * 30);
  EXPECT_EQ(bytes[1], 2 * 100 + 2 * 300'000 + (2 + 2) * 2'000'000);
  EXPECT_EQ(bytes[2], 2 * 7);
}

}  // namespace
}  // namespace optpipe::schedule
