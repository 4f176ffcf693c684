// What a row gives does not depend on the rows beside it, nor on how the weight is cut: bit by bit, for the
// shapes of real models as well as for odd ones.
#include "unit/kernels_cuda/device.hpp"

namespace optpipe::kernels::cuda {
namespace {

using testing::Array;
using testing::compact;
using testing::Halves;

constexpr std::int64_t kRows[] = {1, 2, 3, 8, 16, 17, 32, 33, 48, 64, 100, 144, 192, 257, 600};
constexpr std::int64_t kMost = 800;

struct Shape {
  std::int64_t n, k;
};

using RowsInvariance = testing::OnGpu;

TEST_F(RowsInvariance, ProductsOfAnyNumberOfRows) {
  for (const auto& [n, k] :
       {Shape{4096, 4096}, Shape{12288, 4096}, Shape{4096, 16384}, Shape{768, 3072}, Shape{7168, 7168},
        Shape{2304, 768}, Shape{520, 200}, Shape{96, 32}, Shape{37, 51}}) {
    const Halves x(random, kMost * k), weight(random, n * k, 0.05f), bias(random, n), old(random, kMost * n);
    const auto x_there = x.upload(), weight_there = weight.upload(), bias_there = bias.upload();
    const Matrix matrix{.columns = k, .pieces = {Piece{weight_there.get(), n}}};
    for (const Epilogue epilogue : {Epilogue::none, Epilogue::relu, Epilogue::add}) {
      const auto product = [&](std::int64_t first, std::int64_t m) {
        const auto out = Array<Half>(std::span(old.bits).subspan(static_cast<std::size_t>(first * n),
                                                                 static_cast<std::size_t>(m * n)));
        linear(context(), x_there.at(first * k), k, m, matrix, bias_there.get(), epilogue, out.get(), n);
        return out.values();
      };
      const auto all = product(0, kMost);
      for (const std::int64_t m : kRows) {
        const std::int64_t first = kMost - m - 8 * (m % 5);
        const auto part = product(first, m);
        EXPECT_TRUE(std::equal(part.begin(), part.end(), all.begin() + first * n))
            << n << " x " << k << ", " << m << " rows, epilogue " << static_cast<int>(epilogue);
      }
    }
  }
}

TEST_F(RowsInvariance, ProductsWithAWeightInPieces) {
  for (const auto& [n, k] : {Shape{4096, 4096}, Shape{768, 768}, Shape{256, 96}})
    for (const std::int64_t m : {1, 24, 300}) {
      const Halves x(random, m * k), weight(random, n * k, 0.05f), bias(random, n);
      const auto x_there = x.upload(), weight_there = weight.upload(), bias_there = bias.upload();
      const auto product = [&](const std::array<Piece, 3>& pieces) {
        const auto out = Array<Half>::filled(m * n, testing::kPoison);
        linear(context(), x_there.get(), k, m, {.columns = k, .pieces = pieces}, bias_there.get(),
               Epilogue::relu, out.get(), n);
        return out.values();
      };
      const auto piece = [&](std::int64_t first, std::int64_t rows) {
        return Piece{weight_there.at(first * k), rows};
      };
      const auto whole = product({piece(0, n)});
      EXPECT_EQ(product({piece(0, 64), piece(64, n - 64)}), whole) << n << " x " << k << ", " << m << " rows";
      EXPECT_EQ(product({piece(0, 8), piece(8, n / 2), piece(8 + n / 2, n - 8 - n / 2)}), whole)
          << n << " x " << k << ", " << m << " rows";
    }
}

// As tiny models are cut: whatever the stride of the results.
TEST_F(RowsInvariance, ProductsWithAWeightInOddPieces) {
  for (const auto& [n, k] : {Shape{96, 32}, Shape{160, 64}, Shape{131, 24}}) {
    constexpr std::int64_t kFew = 40;
    const Halves x(random, kFew * k), weight(random, n * k, 0.05f), bias(random, n);
    const auto x_there = x.upload(), weight_there = weight.upload(), bias_there = bias.upload();
    const Matrix matrix{.columns = k,
                        .pieces = {Piece{weight_there.get(), 45}, Piece{weight_there.at(45 * k), n - 45}}};
    const auto product = [&](std::int64_t first, std::int64_t m, std::int64_t stride) {
      const auto out = Array<Half>::filled(m * stride, testing::kPoison);
      linear(context(), x_there.at(first * k), k, m, matrix, bias_there.get(), Epilogue::none, out.get(),
             stride);
      return compact(out.values(), n, stride);
    };
    const auto all = product(0, kFew, n);
    for (const std::int64_t m : {1, 3, 8, 16, 24, 33})
      for (const std::int64_t stride : {n, n + 8, 3 * n}) {
        const auto part = product(kFew - m, m, stride);
        EXPECT_TRUE(
            std::equal(part.begin(), part.end(), all.end() - static_cast<std::ptrdiff_t>(part.size())))
            << n << " x " << k << ", " << m << " rows, stride " << stride;
      }
  }
}

TEST_F(RowsInvariance, LogitsOfAnyNumberOfRows) {
  constexpr std::int64_t kVocabulary = 50272, kColumns = 768, kTokens = 300;
  const Halves x(random, kTokens * kColumns), weight(random, kVocabulary * kColumns, 0.05f);
  const auto x_there = x.upload(), weight_there = weight.upload();
  const Matrix matrix{.columns = kColumns, .pieces = {Piece{weight_there.get(), kVocabulary}}};
  const auto logits = [&](std::int64_t first, std::int64_t m) {
    const auto out = Array<float>::filled(m * kVocabulary, kernels::testing::kPoison);
    linear_f32(context(), x_there.at(first * kColumns), kColumns, m, matrix, out.get(), kVocabulary);
    return out.values();
  };
  const auto all = logits(0, kTokens);
  for (const std::int64_t m : {1, 2, 16, 48, 64, 192}) {
    const auto part = logits(kTokens - m, m);
    EXPECT_TRUE(std::equal(part.begin(), part.end(), all.end() - static_cast<std::ptrdiff_t>(part.size())))
        << m << " rows";
  }
}

// Contexts of many lengths: each alone, where many blocks share it, and all together, where one has it all.
TEST_F(RowsInvariance, DecodeAttention) {
  constexpr std::int64_t kHeads = 32, kSequences = 40;
  for (const std::int64_t dim : {64, 80, 128}) {
    const std::int64_t stride = kHeads * dim;
    std::vector<std::int64_t> contexts;
    for (std::int64_t i = 0; i < kSequences; ++i) contexts.push_back(1 + 53 * i % 2000);
    const Halves cache(random, 2 * 2048 * stride), q(random, kSequences * stride);
    const auto cache_there = cache.upload(), q_there = q.upload();
    const auto attend = [&](std::int64_t first, std::int64_t count) {
      std::vector<KvTask> tasks;
      for (std::int64_t i = 0; i < count; ++i)
        tasks.push_back(
            {.keys = cache_there.get(),
             .values = cache_there.at(2048 * stride),
             .first_row = static_cast<std::int32_t>(i),
             .rows = 1,
             .position = static_cast<std::int32_t>(contexts[static_cast<std::size_t>(first + i)] - 1),
             .heads = kHeads});
      const Array<KvTask> tasks_there(tasks);
      const auto out = Array<Half>::filled(count * stride, testing::kPoison);
      attention_decode(context(), batch_of(tasks, tasks_there.get()), dim,
                       {q_there.at(first * stride), out.get(), stride, stride});
      return out.values();
    };
    const auto all = attend(0, kSequences);
    for (const std::int64_t count : {1, 2, 5})
      for (std::int64_t first = 0; first + count <= kSequences; first += count) {
        const auto part = attend(first, count);
        EXPECT_TRUE(std::equal(part.begin(), part.end(), all.begin() + first * stride))
            << count << " sequences from " << first << ", head dimension " << dim;
      }
  }
}

// Prompts of many lengths, alone and together: the longest chooses the shape of tiles.
TEST_F(RowsInvariance, PrefillAttention) {
  constexpr std::int64_t kHeads = 4;
  constexpr std::int64_t kLengths[] = {1, 5, 16, 31, 63, 64, 65, 100, 128, 129, 200, 333, 512};
  for (const std::int64_t dim : {32, 64, 80, 128}) {
    const std::int64_t stride = kHeads * dim;
    std::vector<std::int64_t> starts;
    std::int64_t rows = 0;
    for (const auto length : kLengths) starts.push_back(rows), rows += length;
    const Halves cache(random, 2 * rows * stride), q(random, rows * stride);
    const auto cache_there = cache.upload(), q_there = q.upload();
    const auto attend = [&](std::size_t first, std::size_t end) {
      std::vector<KvTask> tasks;
      for (std::size_t i = first; i < end; ++i)
        tasks.push_back({.keys = cache_there.at(starts[i] * stride),
                         .values = cache_there.at((rows + starts[i]) * stride),
                         .first_row = static_cast<std::int32_t>(starts[i] - starts[first]),
                         .rows = static_cast<std::int32_t>(kLengths[i]),
                         .position = 0,
                         .heads = kHeads});
      const Array<KvTask> tasks_there(tasks);
      const std::int64_t count = (end < starts.size() ? starts[end] : rows) - starts[first];
      const auto out = Array<Half>::filled(count * stride, testing::kPoison);
      attention_prefill(context(), batch_of(tasks, tasks_there.get()), dim,
                        {q_there.at(starts[first] * stride), out.get(), stride, stride});
      return out.values();
    };
    const auto all = attend(0, starts.size());
    for (std::size_t i = 0; i < starts.size(); ++i) {
      const auto alone = attend(i, i + 1);
      EXPECT_TRUE(std::equal(alone.begin(), alone.end(), all.begin() + starts[i] * stride))
          << kLengths[i] << " rows, head dimension " << dim;
    }
  }
}

TEST_F(RowsInvariance, LayerNorm) {
  for (const std::int64_t h : {64, 768, 4096, 7168, 100}) {
    constexpr std::int64_t kNormed = 300;
    const Halves x(random, kNormed * h), weight(random, h), bias(random, h);
    const auto x_there = x.upload(), weight_there = weight.upload(), bias_there = bias.upload();
    const auto norm = [&](std::int64_t first, std::int64_t m) {
      const auto out = Array<Half>::filled(m * h, testing::kPoison);
      layer_norm(context(), x_there.at(first * h), m, h, weight_there.get(), bias_there.get(), out.get());
      return out.values();
    };
    const auto all = norm(0, kNormed);
    for (const std::int64_t m : {1, 7}) {
      const auto part = norm(kNormed - m, m);
      EXPECT_TRUE(std::equal(part.begin(), part.end(), all.end() - static_cast<std::ptrdiff_t>(part.size())))
          << m << " rows of " << h;
    }
  }
}

}  // namespace
}  // namespace optpipe::kernels::cuda
