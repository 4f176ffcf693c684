#include "unit/kernels_cuda/batch.hpp"

namespace optpipe::kernels::cuda {
namespace {

using testing::Batch;
using testing::BatchShape;
using AttentionPrefill = testing::OnGpu;

TEST_F(AttentionPrefill, EqualsTheCpusForEveryHeadDimension) {
  for (const std::int64_t dim : {8, 16, 32, 40, 64, 72, 80, 96, 100, 104, 128, 136, 256, 7})
    Batch(random, {.heads = 2, .dim = dim, .sequences = {{0, 150}, {0, 1}}})
        .attend_and_check(context(), false);
}

TEST_F(AttentionPrefill, EqualsTheCpusForEveryLength) {
  for (const std::int64_t dim : {64, 80, 128}) {
    BatchShape shape{.heads = 3, .dim = dim, .padding = 8};
    for (const std::int64_t rows : {1, 2, 15, 16, 17, 63, 64, 65, 127, 128, 129, 200, 257})
      shape.sequences.push_back({0, rows});
    Batch(random, shape).attend_and_check(context(), false);
  }
}

TEST_F(AttentionPrefill, ShortPromptsAlone) {
  for (const std::int64_t dim : {64, 128})
    Batch(random, {.heads = 3, .dim = dim, .sequences = {{0, 5}, {0, 64}, {0, 17}}})
        .attend_and_check(context(), false);
}

TEST_F(AttentionPrefill, SeesWhatWasThereBefore) {
  for (const std::int64_t dim : {64, 128})
    Batch(random, {.heads = 2, .dim = dim, .sequences = {{70, 100}, {1, 3}, {300, 65}, {128, 130}}})
        .attend_and_check(context(), false);
}

TEST_F(AttentionPrefill, HeadsMayBeCutIntoSegments) {
  for (const std::int64_t dim : {64, 80, 100})
    Batch(random, {.heads = 7, .dim = dim, .sequences = {{0, 140, {2, 4}}, {5, 20}, {0, 70, {6}}}})
        .attend_and_check(context(), false);
}

TEST_F(AttentionPrefill, AnyAlignmentWorks) {
  for (const std::int64_t shift : {1, 4})
    Batch(random, {.heads = 3, .dim = 64, .sequences = {{0, 90}, {9, 40}}, .shift = shift})
        .attend_and_check(context(), false);
  Batch(random, {.heads = 3, .dim = 64, .sequences = {{0, 90}}, .padding = 5})
      .attend_and_check(context(), false);
}

// Weights that are nearly all on one position, and nearly equal ones.
TEST_F(AttentionPrefill, SharpAndFlatSoftmax) {
  for (const double scale : {0.0, 0.01, 5.0})
    Batch(random, {.heads = 2, .dim = 128, .sequences = {{0, 300}}})
        .attend_and_check(context(), false, scale);
}

TEST_F(AttentionPrefill, NoTasksDoNothing) { attention_prefill(context(), batch_of({}, nullptr), 64, {}); }

}  // namespace
}  // namespace optpipe::kernels::cuda
