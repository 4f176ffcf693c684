#include "unit/kernels_cuda/batch.hpp"

namespace optpipe::kernels::cuda {
namespace {

using testing::Array;
using TakeHeads = testing::OnGpu;

TEST_F(TakeHeads, TakesTheTasksHeadsAndNothingElse) {
  constexpr std::int64_t kRows = 5, kHeads = 7;
  for (const std::int64_t dim : {64, 80, 25}) {
    const std::int64_t stride = kHeads * dim;
    const testing::Halves from(random, kRows * stride);
    const auto staging = Array<Half>::filled(kRows * stride, testing::kPoison),
               to = Array<Half>::filled(kRows * stride, testing::kPoison);
    // The host's rows, as the cores leave them in registered memory.
    std::vector<Half> host = from.bits;
    testing::require(cudaHostRegister(host.data(), host.size() * sizeof(Half), cudaHostRegisterDefault));
    const std::vector<KvTask> tasks{{.first_row = 0, .rows = 1, .first_head = 2, .heads = 3},
                                    {.first_row = 3, .rows = 1, .first_head = 0, .heads = 7},
                                    {.first_row = 4, .rows = 1, .first_head = 6, .heads = 1}};
    const Array<KvTask> uploaded(tasks);
    take_heads(context(), batch_of(tasks, uploaded.get()), dim, host.data(), staging.get(), to.get(), kRows,
               stride);
    const auto taken = to.values();
    testing::require(cudaHostUnregister(host.data()));
    std::vector<Half> expected(taken.size(), testing::kPoison);
    for (const KvTask& task : tasks)
      for (std::int64_t i = task.first_head * dim; i < (task.first_head + task.heads) * dim; ++i)
        expected[static_cast<std::size_t>(task.first_row * stride + i)] =
            from.bits[static_cast<std::size_t>(task.first_row * stride + i)];
    EXPECT_EQ(taken, expected) << "dim " << dim;
  }
}

}  // namespace
}  // namespace optpipe::kernels::cuda
