#include "unit/kernels_cuda/batch.hpp"

namespace optpipe::kernels::cuda {
namespace {

using testing::Batch;
using testing::BatchShape;
using AttentionDecode = testing::OnGpu;

BatchShape ragged(std::int64_t heads, std::int64_t dim) {
  return {.heads = heads,
          .dim = dim,
          .sequences = {{0, 1}, {1, 1}, {30, 1}, {63, 1}, {64, 1}, {511, 1}, {700, 1}},
          .padding = 8};
}

TEST_F(AttentionDecode, EqualsTheCpusForEveryHeadDimension) {
  for (const std::int64_t dim : {1, 7, 8, 16, 32, 64, 80, 96, 100, 128, 200, 256})
    Batch(random, ragged(3, dim)).attend_and_check(context(), true);
}

// Enough tasks and heads that no context is split, and so few that it is split as far as it goes.
TEST_F(AttentionDecode, SplitsChangeNoResult) {
  for (const std::int64_t dim : {64, 80, 128}) {
    BatchShape many = ragged(32, dim);
    for (int i = 0; i < 40; ++i) many.sequences.push_back({100 + i, 1});
    Batch(random, many).attend_and_check(context(), true);
    Batch(random, {.heads = 1, .dim = dim, .sequences = {{2047, 1}}}).attend_and_check(context(), true);
    Batch(random, {.heads = 12, .dim = dim, .sequences = {{1000, 1}, {3, 1}}})
        .attend_and_check(context(), true);
  }
}

TEST_F(AttentionDecode, HeadsMayBeCutIntoSegments) {
  Batch(random, {.heads = 7, .dim = 80, .sequences = {{140, 1, {2, 4}}, {5, 1}, {600, 1, {6}}}})
      .attend_and_check(context(), true);
}

TEST_F(AttentionDecode, AnyAlignmentWorks) {
  for (const std::int64_t shift : {1, 4})
    Batch(random, {.heads = 3, .dim = 64, .sequences = {{90, 1}, {9, 1}}, .shift = shift})
        .attend_and_check(context(), true);
}

TEST_F(AttentionDecode, SparseCountsTheLargestWeightsOnly) {
  for (const std::int64_t dim : {7, 64, 80, 128})
    for (const double sparsity : {0.0, 0.1, 0.5})
      Batch(random, ragged(3, dim)).attend_and_check(context(), true, 1, sparsity);
}

// All scores are the same: the first positions count.
TEST_F(AttentionDecode, SparseTakesTheFirstOfEqualWeights) {
  Batch(random, ragged(2, 64)).attend_and_check(context(), true, 0, 0.3);
}

TEST_F(AttentionDecode, SharpAndFlatSoftmax) {
  for (const double scale : {0.0, 0.01, 5.0})
    Batch(random, {.heads = 2, .dim = 128, .sequences = {{900, 1}}}).attend_and_check(context(), true, scale);
}

}  // namespace
}  // namespace optpipe::kernels::cuda
