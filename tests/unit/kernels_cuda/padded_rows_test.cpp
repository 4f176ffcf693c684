// Rows of nobody, which pad a batch in a CUDA graph: their tasks are empty, and whatever stands in their
// memory, here NaN, changes no bit of another row and nothing that is stored.
#include "unit/kernels_cuda/device.hpp"

namespace optpipe::kernels::cuda {
namespace {

using testing::Array;
using testing::Halves;
using testing::kPoison;

constexpr std::int64_t kRows = 9, kPadded = 16;

using PaddedRows = testing::OnGpu;

// The rows, and behind them NaN.
Array<Half> padded(const Halves& rows, std::int64_t columns) {
  auto bits = rows.bits;
  bits.resize(static_cast<std::size_t>(kPadded * columns), kPoison);
  return Array<Half>(bits);
}

TEST_F(PaddedRows, ChangeNoProductAndNoNorm) {
  for (const std::int64_t n : {128, 4096, 37}) {
    const std::int64_t k = n == 37 ? 51 : n;
    const Halves x(random, kRows * k), weight(random, n * k, 0.05f), old(random, kRows * n);
    const auto weight_there = weight.upload(), x_there = padded(x, k);
    const Matrix matrix{.columns = k, .pieces = {Piece{weight_there.get(), n}}};
    const auto compute = [&](std::int64_t rows) {
      const auto normed = Array<Half>::filled(kPadded * k, kPoison), out = padded(old, n);
      layer_norm(context(), x_there.get(), rows, k, nullptr, nullptr, normed.get());
      linear(context(), normed.get(), k, rows, matrix, nullptr, Epilogue::add, out.get(), n);
      auto values = out.values();
      values.resize(static_cast<std::size_t>(kRows * n));
      return values;
    };
    EXPECT_EQ(compute(kRows), compute(kPadded)) << n << " x " << k;
  }
}

TEST_F(PaddedRows, AreNeitherAppendedNorAttendedFor) {
  constexpr std::int64_t kHeads = 4, kDim = 64, kHidden = kHeads * kDim, kCapacity = 700;
  constexpr std::int64_t kSegment = kCapacity * kHidden;
  const Halves prompts(random, kCapacity * kHidden), q(random, kRows * kHidden), k(random, kRows * kHidden);
  const auto prompts_there = prompts.upload(), q_there = padded(q, kHidden), k_there = padded(k, kHidden);
  const auto run = [&](StorageFormat format, double sparsity, std::int64_t tasks_in_all) {
    const auto cache = Array<Half>::filled(kRows * 2 * kSegment, kPoison);
    std::vector<KvTask> tasks;
    const auto batch = [&](const Array<KvTask>& there) {
      KvBatch of = batch_of(tasks, there.get());
      of.format = format;
      of.most_context = kCapacity;
      return of;
    };
    for (std::int32_t i = 0; i < kRows; ++i)
      tasks.push_back({.keys = cache.at(2 * i * kSegment),
                       .values = cache.at((2 * i + 1) * kSegment),
                       .rows = 1 + 77 * i,
                       .heads = kHeads});
    const Array<KvTask> filling(tasks);
    append_kv(context(), batch(filling), kDim, prompts_there.get(), prompts_there.get(), kHidden);
    for (std::int32_t i = 0; i < kRows; ++i) {
      KvTask& task = tasks[static_cast<std::size_t>(i)];
      task.position = task.rows;
      task.rows = 1;
      task.first_row = i;
    }
    tasks.resize(static_cast<std::size_t>(tasks_in_all));
    const Array<KvTask> decoding(tasks);
    const auto out = Array<Half>::filled(kPadded * kHidden, kPoison);
    append_kv(context(), batch(decoding), kDim, k_there.get(), k_there.get(), kHidden);
    attention_decode(context(), batch(decoding), kDim,
                     {q_there.get(), out.get(), kHidden, kHidden, sparsity});
    return std::pair(out.values(), cache.values());
  };
  for (const auto& [format, sparsity] : {std::pair(StorageFormat::native, 1.0),
                                         {StorageFormat::q8, 1.0},
                                         {StorageFormat::q4, 1.0},
                                         {StorageFormat::native, 0.5}}) {
    const auto [out, cache] = run(format, sparsity, kRows);
    const auto [padded_out, padded_cache] = run(format, sparsity, kPadded);
    EXPECT_EQ(out, padded_out) << name_of(format) << ", " << sparsity;
    EXPECT_EQ(cache, padded_cache) << name_of(format) << ", " << sparsity;
    EXPECT_NE(out.front(), kPoison);
    EXPECT_EQ(padded_out.back(), kPoison) << "a row of nobody was written";
  }
}

}  // namespace
}  // namespace optpipe::kernels::cuda
