// What prefill in pieces is worth on paper: fill and drain cost a piece instead of a micro-batch.
#include <gmock/gmock.h>

#include <algorithm>

#include "optpipe/simulator/simulate.hpp"
#include "unit/schedule/programs.hpp"

namespace optpipe::simulator {
namespace {

using schedule::build_all;
using schedule::Program;
using schedule::Shape;
using schedule::Step;
using schedule::StepKind;

constexpr std::int64_t kLayersOfARank = 3;

// A micro-batch of prompts takes a second in a layer, whatever it is cut into, and one of new tokens much
// less; messages and all else take nothing.
CostFunction even_cost(const Shape& shape) {
  const auto batches = static_cast<double>(shape.gpu_batches);
  return [batches](const Program&, const Step& step) {
    Cost cost;
    if (step.kind == StepKind::feed_forward)
      cost.work_s = (step.token_step.value == 0 ? 1 : 0.01) / (batches * step.parts);
    return cost;
  };
}

// As many layers on each rank, and as many micro-batches as ranks.
Shape even_shape(int ranks, std::int64_t gpu_batches, std::int64_t pieces) {
  return {.ranks = ranks,
          .layers = kLayersOfARank * ranks,
          .micro_batches = ranks,
          .gpu_batches = gpu_batches,
          .chunk_layers = kLayersOfARank,
          .prefill_pieces = pieces};
}

struct Ends {
  double prefill = 0, all = 0;
};

Ends run(const Shape& shape) {
  const auto programs = build_all(shape);
  const auto simulation = simulate(programs, {}, even_cost(shape));
  EXPECT_TRUE(simulation.stuck.empty());
  Ends ends{0, simulation.end_s};
  for (std::size_t rank = 0; rank < programs.size(); ++rank)
    for (const auto& time : simulation.times[rank]) {
      const Step& step = programs[rank].step(time.step);
      if (step.kind == StepKind::sample && step.token_step.value == 0)
        ends.prefill = std::max(ends.prefill, time.end_s);
    }
  return ends;
}

double by_the_formula(const Shape& shape) {
  const auto p = static_cast<double>(shape.ranks), q = static_cast<double>(prefill_cut(shape).pieces);
  const double ideal = p * kLayersOfARank;  // every rank's work
  return ideal * (p * q + p - 1) / (p * q);
}

TEST(SimulatedPrefill, TakesWhatTheScheduleSays) {
  for (const int ranks : {1, 2, 3, 4, 8})
    for (const std::int64_t batches : {1, 4})
      for (const std::int64_t pieces : {1, 4, 8, 16}) {
        const auto shape = even_shape(ranks, batches, pieces);
        if (pieces >= batches) {
          EXPECT_NEAR(run(shape).prefill, by_the_formula(shape), 1e-9)
              << ranks << " ranks, " << batches << " GPU batches, " << pieces << " pieces";
        }
      }
}

// GPU batches of a piece are sent one by one, so that the next stage begins a little earlier.
TEST(SimulatedPrefill, PiecesOfSeveralGpuBatchesAreNoSlower) {
  for (const int ranks : {2, 3, 4})
    for (const std::int64_t pieces : {1, 2}) {
      const auto shape = even_shape(ranks, 4, pieces);
      EXPECT_LT(run(shape).prefill, by_the_formula(shape));
      EXPECT_GT(run(shape).prefill, by_the_formula(even_shape(ranks, 4, 4)) - 1e-9);
    }
}

// What pieces save at the begin, the run ends earlier.
TEST(SimulatedPrefill, DecodeTakesAsLongAsBefore) {
  for (const int ranks : {2, 3, 4}) {
    const auto whole = run(even_shape(ranks, 1, 1)), cut = run(even_shape(ranks, 1, 4));
    const double saved = kLayersOfARank * (ranks - 1) * (1 - 0.25);
    EXPECT_NEAR(whole.prefill - cut.prefill, saved, 1e-9);
    EXPECT_NEAR(whole.all - whole.prefill, cut.all - cut.prefill, 1e-9);
  }
}

}  // namespace
}  // namespace optpipe::simulator
