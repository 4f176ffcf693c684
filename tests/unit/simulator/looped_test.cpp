// How well looped stages use their ranks, with a time of 1 for a GPU batch in a layer and none for anything
// else.
#include <gmock/gmock.h>

#include "optpipe/simulator/simulate.hpp"
#include "unit/schedule/programs.hpp"

namespace optpipe::simulator {
namespace {

using schedule::build_all;
using schedule::kHost;
using schedule::Program;
using schedule::Shape;
using schedule::Step;
using schedule::StepKind;

Cost unit_cost(const Program&, const Step& step) {
  Cost cost;
  cost.work_s = step.kind == StepKind::feed_forward ? 1 : 0;
  return cost;
}

// Of a rank's computation, from its first to its last.
struct Use {
  double work = 0, begin = 1e9, end = 0;
  double idle() const { return end - begin - work; }
};

std::vector<Use> use_of_ranks(const Shape& shape) {
  const auto programs = build_all(shape);
  const auto run = simulate(programs, {}, unit_cost);
  EXPECT_TRUE(run.stuck.empty());
  std::vector<Use> use(programs.size());
  for (std::size_t r = 0; r < programs.size(); ++r)
    for (const auto& time : run.times[r]) {
      if (programs[r].step(time.step).kind != StepKind::feed_forward) continue;
      use[r].work += time.seconds();
      use[r].begin = std::min(use[r].begin, time.begin_s);
      use[r].end = std::max(use[r].end, time.end_s);
    }
  return use;
}

TEST(Looped, NoBubbleWhereMicroBatchesAreAsManyAsRanks) {
  for (const int ranks : {2, 3, 4})
    for (const std::int64_t chunk_layers : {1, 2})
      for (const std::int64_t extra : {0, 1, 5})
        for (const std::int64_t gpu_batches : {1, 2}) {
          const auto use = use_of_ranks({.ranks = ranks,
                                         .layers = 4 * ranks * chunk_layers,
                                         .token_steps = 4,
                                         .micro_batches = ranks + extra,
                                         .gpu_batches = gpu_batches,
                                         .layer_weights = kHost,
                                         .weight_slots = static_cast<int>(2 * chunk_layers),
                                         .chunk_layers = chunk_layers});
          for (const Use& each : use)
            EXPECT_NEAR(each.idle(), 0, 1e-9)
                << ranks << " ranks, chunks of " << chunk_layers << ", " << extra << " extra micro-batches";
        }
}

// With fewer micro-batches than ranks each rank works micro_batches / ranks of the time.
TEST(Looped, TooFewMicroBatchesLeaveRanksIdle) {
  const auto use =
      use_of_ranks({.ranks = 4, .layers = 16, .token_steps = 10, .micro_batches = 2, .chunk_layers = 1});
  for (const Use& each : use) EXPECT_NEAR(each.work / (each.end - each.begin), 0.5, 0.02);
}

// Hidden states reach the last rank after chunks, not after whole slices.
TEST(Looped, FillAndDrainAreShorterThanOfContiguousStages) {
  const auto end_of = [](const Shape& shape) {
    double end = 0;
    for (const Use& each : use_of_ranks(shape)) end = std::max(end, each.end);
    return end;
  };
  EXPECT_NEAR(end_of({.ranks = 4, .layers = 32, .token_steps = 1, .micro_batches = 4, .chunk_layers = 1}),
              4 * 8 + 3, 1e-9);
  EXPECT_GT(end_of({.ranks = 4, .layers = 32, .token_steps = 1, .micro_batches = 4}), 4 * 8 + 3 * 7);
}

}  // namespace
}  // namespace optpipe::simulator
