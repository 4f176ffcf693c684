// Products and attention over quantized rows have the bits that they have over the same numbers in fp32.
#include <cmath>

#include "optpipe/kernels/cpu.hpp"
#include "optpipe/kernels/quantized.hpp"
#include "unit/kernels/support.hpp"

namespace optpipe::kernels {
namespace {

using testing::same_bits;

constexpr StorageFormat kFormats[] = {StorageFormat::q8, StorageFormat::q4};

// Rows in a quantized format, and the same numbers in fp32.
struct CodedRows {
  RowFormat format;
  std::int64_t runs, count;
  std::vector<std::byte> codes;
  std::vector<float> numbers;

  CodedRows(StorageFormat storage, std::int64_t run, std::int64_t runs_, std::int64_t count_)
      : format{storage, DType::f16, run}, runs(runs_), count(count_) {
    const auto row = static_cast<std::size_t>(runs * run);
    numbers = testing::Random(static_cast<std::uint64_t>(run * 31 + count)).floats(count * runs * run);
    codes.resize(static_cast<std::size_t>(count) * format.row_bytes(runs));
    for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
      quantize(format, runs, numbers.data() + i * row, codes.data() + i * format.row_bytes(runs));
      dequantize(format, runs, codes.data() + i * format.row_bytes(runs), numbers.data() + i * row);
    }
  }
  const std::byte* bytes() const { return reinterpret_cast<const std::byte*>(numbers.data()); }
};

using QuantizedProducts = testing::OnTarget;
INSTANTIATE_ON_TARGETS(QuantizedProducts);

TEST_P(QuantizedProducts, LinearEqualsItselfInFp32) {
  for (const StorageFormat storage : kFormats)
    for (const std::int64_t m : {1, 5, 12, 13, 40})
      for (const std::int64_t n : {1, 6, 45})
        for (const std::int64_t k : {7, 64, 80, 1100}) {
          const CodedRows weight(storage, k, 1, n);
          const auto x = testing::Random(5).floats(m * (k + 3));
          const auto bias = testing::Random(6).floats(n);
          const auto run = [&](const MatrixView& view, int threads) {
            std::vector<float> out(static_cast<std::size_t>(m * n), testing::kPoison);
            linear(x.data(), k + 3, m, view, {DType::f32, reinterpret_cast<const std::byte*>(bias.data())},
                   Epilogue::relu, out.data(), n, threads);
            return out;
          };
          const MatrixPiece numbers{weight.bytes(), n}, codes{weight.codes.data(), n};
          const auto expected = run({DType::f32, n, k, {&numbers, 1}}, 1);
          for (const int threads : {1, 3})
            ASSERT_TRUE(same_bits(run({DType::f16, n, k, {&codes, 1}, storage}, threads), expected))
                << name_of(storage) << ' ' << m << " x " << n << " x " << k;
          const std::int64_t cut = n / 3;
          const MatrixPiece pieces[] = {
              {weight.codes.data(), cut},
              {weight.codes.data() + static_cast<Bytes>(cut) * weight.format.row_bytes(), n - cut}};
          ASSERT_TRUE(same_bits(run({DType::f16, n, k, pieces, storage}, 2), expected)) << "in pieces";
        }
}

TEST_P(QuantizedProducts, PromptLinearIsClose) {
  if (!has_matrix_units()) GTEST_SKIP() << "no matrix units";
  for (const StorageFormat storage : kFormats)
    for (const std::int64_t k : {7, 80, 300}) {
      constexpr std::int64_t kRows = 70, kColumns = 45;
      const CodedRows weight(storage, k, 1, kColumns);
      const auto x = testing::Random(5).floats(kRows * k);
      const MatrixPiece codes{weight.codes.data(), kColumns};
      std::vector<float> out(kRows * kColumns, testing::kPoison);
      prompt_linear(x.data(), k, kRows, {DType::f16, kColumns, k, {&codes, 1}, storage}, {}, Epilogue::none,
                    out.data(), kColumns, 2);
      std::vector<double> expected, magnitude;
      for (std::int64_t i = 0; i < kRows; ++i)
        for (std::int64_t j = 0; j < kColumns; ++j) {
          double sum = 0, size = 0;
          for (std::int64_t c = 0; c < k; ++c) {
            const double term =
                x[static_cast<std::size_t>(i * k + c)] * weight.numbers[static_cast<std::size_t>(j * k + c)];
            sum += term;
            size += std::abs(term);
          }
          expected.push_back(sum);
          magnitude.push_back(size);
        }
      EXPECT_LT(testing::rounding_error(out, expected, magnitude), 0x1p-14) << name_of(storage) << " k " << k;
    }
}

// Where codes are widened; integer products are tested in coded_heads_test.cpp.
TEST_P(QuantizedProducts, AttentionEqualsItselfInFp32) {
  const testing::WithoutIntegerProducts widening;
  for (const StorageFormat storage : kFormats)
    for (const std::int64_t dim : {5, 16, 64, 80, 128})
      for (const std::int64_t context : {1, 2, 67, 131}) {
        constexpr std::int64_t kHeads = 3;
        const CodedRows k(storage, dim, kHeads, context), v(storage, dim, kHeads, context);
        const std::int64_t stride = kHeads * dim;
        const auto q = testing::Random(9).floats(context * stride);
        const auto run = [&](bool coded, std::int64_t first, std::int64_t rows, int threads) {
          std::vector<float> out(static_cast<std::size_t>(rows * stride), testing::kPoison);
          const AttentionTask task{.q = q.data() + first * stride,
                                   .k = coded ? k.codes.data() : k.bytes(),
                                   .v = coded ? v.codes.data() : v.bytes(),
                                   .out = out.data(),
                                   .rows = rows,
                                   .context = first + rows,
                                   .heads = kHeads,
                                   .q_stride = stride,
                                   .kv_stride = stride};
          attention({&task, 1}, coded ? k.format : RowFormat{StorageFormat::native, DType::f32, dim},
                    threads);
          return out;
        };
        ASSERT_TRUE(same_bits(run(true, 0, context, 2), run(false, 0, context, 1)))
            << "prompt of " << context << ", heads of " << dim << ", " << name_of(storage);
        ASSERT_TRUE(same_bits(run(true, context - 1, 1, 2), run(false, context - 1, 1, 1)))
            << "new token at " << context << ", heads of " << dim << ", " << name_of(storage);
      }
}

// Heads are runs of their own: some of them alone give the same bits.
TEST_P(QuantizedProducts, HeadsCanBeTakenApart) {
  constexpr std::int64_t kHeads = 4, kDim = 80;
  const auto row = testing::Random(3).floats(kHeads * kDim);
  for (const StorageFormat storage : kFormats) {
    const RowFormat format{storage, DType::f16, kDim};
    std::vector<std::byte> all(format.row_bytes(kHeads)), last(format.row_bytes(2));
    quantize(format, kHeads, row.data(), all.data());
    quantize(format, 2, row.data() + 2 * kDim, last.data());
    std::vector<float> whole(kHeads * kDim), part(2 * kDim);
    dequantize(format, kHeads, all.data(), whole.data());
    dequantize(format, 2, last.data(), part.data());
    EXPECT_TRUE(same_bits(part, std::span(whole).subspan(2 * kDim)));
  }
}

}  // namespace
}  // namespace optpipe::kernels
