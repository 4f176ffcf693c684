#include "optpipe/planner/prefill.hpp"

#include <gtest/gtest.h>

namespace optpipe::planner {
namespace {

memory::Policy policy_of(std::int64_t size, std::int64_t batches, double weights_on_device = 100) {
  memory::Policy policy;
  policy.gpu_batch_size = size;
  policy.gpu_batches = batches;
  policy.weights = {weights_on_device, 100 - weights_on_device};
  return policy;
}

std::int64_t pieces(const memory::Policy& policy, int ranks, std::int64_t prompt = 512,
                    Backend backend = Backend::cuda) {
  const auto sequences = policy.gpu_batch_size * policy.gpu_batches;
  return best_prefill_pieces(policy, {sequences * prompt, sequences, policy.micro_batches_for(ranks)}, ranks,
                             DType::f16, backend);
}

TEST(PrefillPieces, OneWhereNothingIsToBeFilled) {
  EXPECT_EQ(pieces(policy_of(24, 1), 1), 1);
  auto looped = policy_of(24, 1);
  looped.stages = memory::Stages::looped;
  EXPECT_EQ(pieces(looped, 4), 1);
}

TEST(PrefillPieces, MoreThePipelineIsDeep) {
  const auto two = pieces(policy_of(24, 1), 2), four = pieces(policy_of(24, 1), 4);
  EXPECT_GE(two, 4);
  EXPECT_GE(four, two);
  EXPECT_LE(four, 16);
}

// Where many micro-batches follow each other, the fill matters little.
TEST(PrefillPieces, FewerWithManyMicroBatches) {
  auto policy = policy_of(24, 1);
  policy.micro_batches = 64;
  EXPECT_LT(pieces(policy, 2), pieces(policy_of(24, 1), 2));
}

// Small products are not worth cutting.
TEST(PrefillPieces, OneForShortPrompts) { EXPECT_EQ(pieces(policy_of(8, 1), 2, 4), 1); }

// fp16 weights take as long to load as 12,000 rows to compute, those in 4 bits less than a third of that.
TEST(PrefillPieces, StreamedWeightsArePaidForInEachPiece) {
  EXPECT_EQ(pieces(policy_of(24, 1, 0), 2), 1);
  EXPECT_GT(pieces(policy_of(24, 1, 90), 2), 1);
  auto coded = policy_of(24, 1, 0);
  coded.weight_format = StorageFormat::q4;
  EXPECT_GT(pieces(coded, 2), 1);
  EXPECT_LT(pieces(coded, 2), pieces(policy_of(24, 1), 2));
}

TEST(PrefillPieces, CutGpuBatchesEvenly) {
  for (const std::int64_t batches : {1, 2, 3, 4, 6, 12}) {
    const auto found = pieces(policy_of(8, batches), 4);
    EXPECT_GT(found, 1);
    EXPECT_TRUE(found % batches == 0 || batches % found == 0) << found << " of " << batches;
  }
}

TEST(PrefillPieces, WhatIsAskedForStays) {
  auto policy = policy_of(24, 1);
  policy.prefill_pieces = 5;
  EXPECT_EQ(settle_prefill(policy, {}, 2, DType::f16, Backend::cuda).prefill_pieces, 5);
  policy.prefill_pieces = 0;
  EXPECT_EQ(settle_prefill(policy, {}, 2, DType::f16, Backend::cuda).prefill_pieces, 1);
}

}  // namespace
}  // namespace optpipe::planner
