// Prefill in pieces.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <random>
#include <set>
#include <string>
#include <tuple>

#include "optpipe/schedule/text.hpp"
#include "optpipe/schedule/validate.hpp"
#include "unit/schedule/programs.hpp"

namespace optpipe::schedule {
namespace {

using ::testing::IsEmpty;

std::int64_t count(const Program& program, StepKind kind, std::int64_t token_step) {
  return std::ranges::count_if(program.steps, [&](const Step& step) {
    return step.kind == kind && step.token_step.value == token_step;
  });
}

template <class T>
T draw(std::mt19937& random, std::initializer_list<T> values) {
  return *(values.begin() + std::uniform_int_distribution<std::size_t>(0, values.size() - 1)(random));
}

Shape draw_shape(std::mt19937& random) {
  Shape shape;
  shape.ranks = draw(random, {1, 2, 3, 4});
  shape.chunk_layers = shape.ranks > 1 ? draw<std::int64_t>(random, {0, 0, 1, 2}) : 0;
  shape.layers = draw<std::int64_t>(random, {8, 9, 10});
  shape.token_steps = draw<std::int64_t>(random, {1, 2, 4});
  shape.micro_batches = draw<std::int64_t>(random, {1, 2, 3, 5});
  shape.gpu_batches = draw<std::int64_t>(random, {1, 2, 3, 4});
  shape.layer_weights = draw(random, {kResident, kHost, kDisk});
  shape.head_weights = draw(random, {kResident, kHost});
  shape.kv = draw(random, {kResident, kHost, kDisk});
  shape.hidden = draw(random, {kResident, kResident, kHost, kDisk});
  shape.weight_slots = draw(random, {1, 2, 3});
  if (shape.kv.any) shape.host_attention = {draw(random, {false, true}), draw(random, {false, true}), 2};
  shape.continues = draw(random, {false, true});
  shape.prefill_pieces = draw<std::int64_t>(random, {2, 3, 4, 7, 16});
  return shape;
}

TEST(PrefillInPieces, NoFaultsForDrawnPolicies) {
  std::mt19937 random(20);
  for (int i = 0; i < 1500; ++i) {
    const Shape shape = draw_shape(random);
    ASSERT_THAT(find_faults(build_all(shape)), IsEmpty())
        << i << ": " << shape.ranks << " ranks, chunks of " << shape.chunk_layers << ", "
        << shape.micro_batches << " micro-batches, " << shape.gpu_batches << " GPU batches, "
        << shape.prefill_pieces << " pieces, weights " << shape.layer_weights.any << ", KV " << shape.kv.any
        << ", hidden " << shape.hidden.any << ", attention on the host " << shape.host_attention.any;
  }
}

// Every part of every GPU batch passes every layer exactly once, and decode knows nothing of parts.
TEST(PrefillInPieces, ComputesEveryPartOfEveryBatchOnce) {
  std::mt19937 random(21);
  for (int i = 0; i < 200; ++i) {
    const Shape shape = draw_shape(random);
    const auto cut = prefill_cut(shape);
    std::set<std::tuple<int, int, int, int>> seen;
    for (const Program& program : build_all(shape))
      for (const Step& step : program.steps) {
        if (step.token_step.value > 0 && step.kind != StepKind::load_weights) {
          ASSERT_EQ(step.parts, 1);
        }
        if (step.kind != StepKind::feed_forward || step.token_step.value > 0) continue;
        ASSERT_EQ(step.parts, cut.parts);
        ASSERT_TRUE(
            seen.insert({step.micro_batch.value, step.gpu_batch.value, step.part, step.layer.value}).second);
      }
    ASSERT_EQ(std::ssize(seen), shape.micro_batches * shape.gpu_batches * cut.parts * shape.layers);
  }
}

TEST(PrefillInPieces, DecodeStaysAsItIs) {
  const Shape whole{.ranks = 2, .token_steps = 3, .micro_batches = 2, .gpu_batches = 2};
  Shape pieces = whole;
  pieces.prefill_pieces = 4;
  const auto decode = [](const Program& program) {
    std::string text;
    for (Step step : program.steps) {
      step.after = {};
      if (step.token_step.value > 0)
        text += fmt::format("{} {} {} {}\n", name_of(step.kind), step.micro_batch.value, step.layer.value,
                            step.gpu_batch.value);
    }
    return text;
  };
  const auto a = build_all(whole), b = build_all(pieces);
  for (std::size_t r = 0; r < a.size(); ++r) EXPECT_EQ(decode(a[r]), decode(b[r]));
}

// A piece leaves the stage before the next one enters it.
TEST(PrefillInPieces, APieceLeavesBeforeTheNextBegins) {
  const auto program = build_all({.ranks = 2, .gpu_batches = 1, .prefill_pieces = 3}).front();
  std::vector<std::string> order;
  for (const Step& step : program.steps)
    if (step.token_step.value == 0 && (step.kind == StepKind::embed || step.kind == StepKind::send_hidden))
      order.push_back(fmt::format("{} {}", name_of(step.kind), step.part));
  EXPECT_THAT(order, ::testing::ElementsAre("embed 0", "send_hidden 0", "embed 1", "send_hidden 1", "embed 2",
                                            "send_hidden 2"));
}

// Streamed weights pass once a piece, unless the slots hold them all.
TEST(PrefillInPieces, StreamedWeightsAreLoadedForEachPiece) {
  const auto loads = [](int slots, std::int64_t pieces) {
    const auto program =
        build_all({.gpu_batches = 4, .layer_weights = kHost, .weight_slots = slots, .prefill_pieces = pieces})
            .front();
    return count(program, StepKind::load_weights, 0) / program.weight_parts;
  };
  EXPECT_EQ(loads(2, 1), 6);
  EXPECT_EQ(loads(2, 2), 12);
  EXPECT_EQ(loads(6, 2), 6);
}

// Of looped stages, one load still serves all pieces of all micro-batches.
TEST(PrefillInPieces, LoopedStagesLoadOnce) {
  const Shape shape{.ranks = 2,
                    .micro_batches = 2,
                    .gpu_batches = 2,
                    .layer_weights = kHost,
                    .chunk_layers = 1,
                    .prefill_pieces = 4};
  for (const Program& program : build_all(shape))
    EXPECT_EQ(count(program, StepKind::load_weights, 0) / program.weight_parts, 3);
}

TEST(PrefillInPieces, FaultsAreFound) {
  auto programs = build_all({.ranks = 2, .kv = kHost, .prefill_pieces = 2});
  ASSERT_THAT(find_faults(programs), IsEmpty());
  // A part that is left out is missed by decode, and by the other rank.
  auto& steps = programs[1].steps;
  const auto stored = std::ranges::find_if(
      steps, [](const Step& step) { return step.kind == StepKind::store_kv && step.part == 1; });
  stored->part = 0;
  EXPECT_FALSE(find_faults(programs[1]).empty());
  auto swapped = build_all({.ranks = 2, .prefill_pieces = 2});
  for (Step& step : swapped[1].steps)
    if (step.kind == StepKind::recv_hidden && step.parts > 1)
      step.part = static_cast<std::int16_t>(1 - step.part);
  EXPECT_FALSE(find_faults(swapped).empty());
}

TEST(PrefillInPieces, TextKeepsParts) {
  for (const Program& program : build_all({.ranks = 2, .gpu_batches = 2, .prefill_pieces = 4}))
    EXPECT_EQ(to_text(parse_program(to_text(program))), to_text(program));
}

}  // namespace
}  // namespace optpipe::schedule
