#include <cmath>

#include "optpipe/kernels/quantized.hpp"
#include "optpipe/kernels/x_attention.hpp"
#include "unit/kernels/support.hpp"

namespace optpipe::kernels {
namespace {

using testing::kAllTypes;
using testing::kPoison;
using testing::Numbers;
using testing::same_bits;

struct Combination {
  std::int64_t m, k, n, padding;
  std::vector<float> x;  // [m, k + padding]
  Numbers rows;          // [k, n]

  Combination(DType type, std::int64_t m_, std::int64_t k_, std::int64_t n_, std::int64_t padding_ = 0)
      : m(m_), k(k_), n(n_), padding(padding_) {
    testing::Random random(static_cast<std::uint64_t>(m * 100003 + k * 1009 + n));
    x = random.floats(m * (k + padding));
    rows = random.numbers(type, k * n);
  }

  std::vector<float> run(const MatrixView& matrix, int threads = 1) const {
    std::vector<float> out(static_cast<std::size_t>(m * (n + padding)), kPoison);
    combine_rows(x.data(), k + padding, m, matrix, out.data(), n + padding, threads);
    return out;
  }
  std::vector<float> run(int threads = 1) const {
    const MatrixPiece whole{rows.bytes.data(), k};
    return run({rows.type, k, n, {&whole, 1}}, threads);
  }
  std::vector<float> run_cut(std::int64_t cut) const {
    const MatrixPiece pieces[] = {{rows.bytes.data(), cut}, {rows.at(cut * n), k - cut}};
    return run({rows.type, k, n, pieces}, 2);
  }

  // A chain of k fused multiply-adds rounds each partial sum by 2^-24, of which errors of random sign leave
  // the root of their number.
  void expect_right(const std::vector<float>& out) const {
    std::vector<float> actual;
    std::vector<double> values, magnitudes;
    for (std::int64_t r = 0; r < m; ++r)
      for (std::int64_t c = 0; c < n; ++c) {
        double sum = 0, magnitude = 0;
        for (std::int64_t i = 0; i < k; ++i) {
          const double term = static_cast<double>(x[static_cast<std::size_t>(r * (k + padding) + i)]) *
                              rows.values[static_cast<std::size_t>(i * n + c)];
          sum += term;
          magnitude += std::abs(term);
        }
        actual.push_back(out[static_cast<std::size_t>(r * (n + padding) + c)]);
        values.push_back(sum);
        magnitudes.push_back(magnitude);
      }
    EXPECT_LT(testing::rounding_error(actual, values, magnitudes),
              (2 + std::sqrt(static_cast<double>(k))) * 0x1p-24)
        << name_of(rows.type) << ' ' << m << " x " << k << " x " << n;
  }
};

using CombineRows = testing::OnTarget;
INSTANTIATE_ON_TARGETS(CombineRows);

TEST_P(CombineRows, EqualsTheReference) {
  for (const DType type : kAllTypes)
    for (const std::int64_t m : {1, 2, 6, 7, 13})
      for (const std::int64_t k : {1, 16, 255, 257, 700})
        for (const std::int64_t n : {1, 15, 64, 127, 130, 300}) {
          const Combination combination(type, m, k, n);
          combination.expect_right(combination.run());
        }
}

TEST_P(CombineRows, KeepsToItsStrides) {
  const Combination combination(DType::f16, 5, 40, 130, 3);
  const auto out = combination.run(2);
  combination.expect_right(out);
  for (std::int64_t r = 0; r < combination.m; ++r)
    for (std::int64_t c = 130; c < 133; ++c)
      EXPECT_TRUE(std::isnan(out[static_cast<std::size_t>(r * 133 + c)]));
}

TEST_P(CombineRows, BitsDependOnNothingButTheElementsInputs) {
  const Combination combination(DType::f16, 13, 600, 300);
  const auto reference = combination.run();
  EXPECT_TRUE(same_bits(combination.run(3), reference));
  for (const std::int64_t cut : {1, 128, 256, 599})
    EXPECT_TRUE(same_bits(combination.run_cut(cut), reference)) << cut;
  for (std::int64_t r = 0; r < combination.m; ++r) {
    Combination alone = combination;
    alone.m = 1;
    alone.x.assign(combination.x.begin() + r * 600, combination.x.begin() + (r + 1) * 600);
    EXPECT_TRUE(same_bits(alone.run(), std::span(reference).subspan(static_cast<std::size_t>(r * 300), 300)));
  }
}

TEST_P(CombineRows, QuantizedRowsCountAsTheirNumbers) {
  for (const StorageFormat storage : {StorageFormat::q8, StorageFormat::q4})
    for (const std::int64_t n : {7, 64, 200, 300}) {
      Combination combination(DType::f32, 7, 300, n);
      const RowFormat format{storage, DType::f16, n};
      std::vector<std::byte> codes(static_cast<std::size_t>(combination.k) * format.row_bytes());
      for (std::int64_t row = 0; row < combination.k; ++row) {
        auto* numbers = reinterpret_cast<float*>(combination.rows.bytes.data()) + row * n;
        std::byte* to = codes.data() + static_cast<Bytes>(row) * format.row_bytes();
        quantize(format, 1, numbers, to);
        dequantize(format, 1, to, numbers);
      }
      const auto expected = combination.run();
      const std::int64_t cut = 77;
      const MatrixPiece pieces[] = {{codes.data(), cut},
                                    {codes.data() + static_cast<Bytes>(cut) * format.row_bytes(), 300 - cut}};
      EXPECT_TRUE(same_bits(combination.run({DType::f16, 300, n, pieces, storage}, 2), expected))
          << name_of(storage) << ' ' << n;
    }
}

using Softmax = testing::OnTarget;
INSTANTIATE_ON_TARGETS(Softmax);

TEST_P(Softmax, OfScaledRows) {
  for (const std::int64_t n : {1, 15, 16, 17, 130}) {
    const std::int64_t m = 5, stride = (n + kScoresPadding - 1) / kScoresPadding * kScoresPadding + 16;
    alignas(64) static float scores[5 * 160];
    const auto values = testing::Random(static_cast<std::uint64_t>(n)).floats(m * stride, 3);
    std::ranges::copy(values, scores);
    softmax_rows(scores, m, n, stride, 0.5f, 2);
    for (std::int64_t r = 0; r < m; ++r) {
      double total = 0;
      for (std::int64_t i = 0; i < n; ++i)
        total += std::exp(0.5 * values[static_cast<std::size_t>(r * stride + i)]);
      for (std::int64_t i = 0; i < n; ++i)
        EXPECT_NEAR(scores[r * stride + i],
                    std::exp(0.5 * values[static_cast<std::size_t>(r * stride + i)]) / total, 1e-6);
    }
  }
}

}  // namespace
}  // namespace optpipe::kernels
