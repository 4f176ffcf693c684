#include "unit/kernels_cuda/batch.hpp"

namespace optpipe::kernels::cuda {
namespace {

using testing::Batch;
using AppendKv = testing::OnGpu;

TEST_F(AppendKv, WritesTheNewRowsAndNothingElse) {
  for (const std::int64_t dim : {16, 64, 80, 25})
    for (const std::int64_t shift : {0, 1})
      Batch(random, {.heads = 5,
                     .dim = dim,
                     .sequences = {{0, 33}, {7, 1, {2}}, {0, 1, {1, 3}}, {12, 9}},
                     .padding = 8,
                     .shift = shift})
          .append_and_check(context());
}

TEST_F(AppendKv, NoTasksDoNothing) { append_kv(context(), batch_of({}, nullptr), 64, nullptr, nullptr, 64); }

}  // namespace
}  // namespace optpipe::kernels::cuda
