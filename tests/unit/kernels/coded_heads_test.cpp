// Attention over codes by integer products, against plain sums in double precision.
#include "kernels/cpu/coded_heads.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "optpipe/kernels/cpu.hpp"
#include "optpipe/kernels/quantized.hpp"
#include "unit/kernels/support.hpp"

namespace optpipe::kernels {
namespace {

// Digits stand for numbers to 2^-22 of the largest; sums of floats err as elsewhere.
constexpr double kTolerance = 4e-7;

struct Rows {
  std::int64_t count, heads, dim;
  RowFormat format;
  std::vector<std::byte> bytes;
  std::vector<float> numbers;  // what the codes mean

  Rows(StorageFormat storage, std::int64_t count_, std::int64_t heads_, std::int64_t dim_)
      : count(count_), heads(heads_), dim(dim_), format{storage, DType::f16, dim_} {
    numbers = testing::Random(static_cast<std::uint64_t>(count * 31 + dim)).floats(count * width());
    bytes.resize(static_cast<std::size_t>(count) * format.row_bytes(heads));
    for (std::int64_t i = 0; i < count; ++i) {
      quantize(format, heads, numbers.data() + i * width(), row(i));
      dequantize(format, heads, row(i), numbers.data() + i * width());
    }
  }
  std::int64_t width() const { return heads * dim; }
  std::byte* row(std::int64_t i) { return bytes.data() + static_cast<Bytes>(i) * format.row_bytes(heads); }
  double at(std::int64_t i, std::int64_t head, std::int64_t d) const {
    return numbers[static_cast<std::size_t>(i * width() + head * dim + d)];
  }
  // All heads but the first.
  CodedHeads coded() const {
    return {bytes.data(),
            format.row_bytes(heads),
            format.run_code_bytes(),
            format.pairs_offset(heads) + static_cast<Bytes>(format.groups()) * kGroupPairBytes,
            heads - 1,
            format.groups(),
            format.format};
  }
};

class CodedHeadsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!has_integer_products()) GTEST_SKIP() << "these cores have no AVX-512 VNNI";
  }
  static float* scratch() { return thread_scratch(std::max(coded_scores_scratch(), coded_sums_scratch())); }
};

TEST_F(CodedHeadsTest, ScoresAreProducts) {
  for (const StorageFormat storage : {StorageFormat::q4, StorageFormat::q8})
    for (const std::int64_t dim : {64, 128, 192})
      for (const std::int64_t count : {1, 31, 32, 70})
        for (const float size : {1e-30f, 1.0f, 1e30f}) {
          const Rows keys(storage, count, 4, dim);
          auto q = testing::Random(7).floats(3 * dim, size);
          q[5] = 40 * size;  // an outlier
          const std::int64_t pitch = count + 5;
          std::vector<float> scores(static_cast<std::size_t>(3 * pitch), testing::kPoison);
          ASSERT_TRUE(coded_scores(keys.coded(), keys.bytes.data(), q.data(), dim, count, scores.data(),
                                   pitch, scratch()));
          for (std::int64_t h = 0; h < 3; ++h) {
            double largest = 0;
            for (std::int64_t d = 0; d < dim; ++d)
              largest = std::max(largest, std::abs(double{q[static_cast<std::size_t>(h * dim + d)]}));
            for (std::int64_t p = 0; p < count; ++p) {
              double expected = 0, magnitude = 0;
              for (std::int64_t d = 0; d < dim; ++d) {
                expected += double{q[static_cast<std::size_t>(h * dim + d)]} * keys.at(p, h + 1, d);
                magnitude += largest * std::abs(keys.at(p, h + 1, d));
              }
              ASSERT_LE(std::abs(scores[static_cast<std::size_t>(h * pitch + p)] - expected),
                        kTolerance * magnitude)
                  << name_of(storage) << " dim " << dim << " of " << count << ": head " << h << ", key " << p;
            }
            for (std::int64_t p = count; p < pitch; ++p)
              ASSERT_TRUE(std::isnan(scores[static_cast<std::size_t>(h * pitch + p)]))
                  << "written behind the last";
          }
        }
}

TEST_F(CodedHeadsTest, ExtremesOfCodesAndQueriesDoNotOverflow) {
  for (const StorageFormat storage : {StorageFormat::q4, StorageFormat::q8})
    for (const float q_value : {3.9999998f, -3.9999998f, 4.0f, -2.0000002f}) {
      Rows keys(storage, 4, 2, 64);
      for (std::int64_t p = 0; p < 4; ++p) {  // one minimum, all else the largest code
        std::vector<float> row(128, 15.0f);
        row[64 + static_cast<std::size_t>(p)] = 0;
        quantize(keys.format, 2, row.data(), keys.row(p));
        dequantize(keys.format, 2, keys.row(p), keys.numbers.data() + p * 128);
      }
      const std::vector<float> q(64, q_value);
      float scores[4];
      ASSERT_TRUE(coded_scores(keys.coded(), keys.bytes.data(), q.data(), 64, 4, scores, 4, scratch()));
      for (std::int64_t p = 0; p < 4; ++p) {
        double expected = 0;
        for (std::int64_t d = 0; d < 64; ++d) expected += double{q_value} * keys.at(p, 1, d);
        EXPECT_NEAR(scores[p], expected, 1e-6 * std::abs(expected)) << name_of(storage) << ' ' << q_value;
      }
    }
}

TEST_F(CodedHeadsTest, QueriesThatAreNotFiniteAreLeftToOthers) {
  const Rows keys(StorageFormat::q4, 3, 2, 64);
  for (const float bad : {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    std::vector<float> q(64, 1.0f), scores(4);
    q[63] = bad;
    EXPECT_FALSE(coded_scores(keys.coded(), keys.bytes.data(), q.data(), 64, 3, scores.data(), 4, scratch()));
  }
}

TEST_F(CodedHeadsTest, SumsAreWeighted) {
  for (const StorageFormat storage : {StorageFormat::q4, StorageFormat::q8})
    for (const std::int64_t dim : {64, 128, 192})
      for (const std::int64_t count : {1, 31, 32, 33, 100}) {
        const Rows values(storage, count, 4, dim);
        auto weights = testing::Random(8).floats(3 * count);
        for (std::size_t i = 0; i < weights.size(); ++i) {
          weights[i] = std::exp(3 * weights[i]);
          if (i % 7 == 3) weights[i] = 0;
        }
        std::vector<float> out(static_cast<std::size_t>(3 * dim), testing::kPoison);
        coded_sums(values.coded(), weights.data(), count, count, out.data(), scratch());
        const double largest = *std::max_element(weights.begin(), weights.end());
        for (std::int64_t h = 0; h < 3; ++h)
          for (std::int64_t d = 0; d < dim; ++d) {
            double expected = 0, magnitude = 0;
            for (std::int64_t p = 0; p < count; ++p) {
              const double weight = weights[static_cast<std::size_t>(h * count + p)];
              expected += weight * values.at(p, h + 1, d);
              magnitude += (weight + largest) * 4;  // codes reach over some standard deviations
            }
            ASSERT_LE(std::abs(out[static_cast<std::size_t>(h * dim + d)] - expected), kTolerance * magnitude)
                << name_of(storage) << " dim " << dim << " of " << count << ": head " << h << ", " << d;
          }
      }
}

TEST_F(CodedHeadsTest, WhatIsBrokenStaysVisible) {
  Rows values(StorageFormat::q4, 40, 2, 128);
  std::vector<float> row(256, 1.0f);
  row[128] = std::numeric_limits<float>::quiet_NaN();  // of the second head's first group
  quantize(values.format, 2, row.data(), values.row(35));
  const std::vector<float> weights(40, 0.025f);
  std::vector<float> out(128);
  coded_sums(values.coded(), weights.data(), 40, 40, out.data(), scratch());
  for (std::size_t d = 0; d < 128; ++d) EXPECT_EQ(std::isnan(out[d]), d < 64) << d;

  std::vector<float> q(128, 1.0f), scores(40);
  ASSERT_TRUE(
      coded_scores(values.coded(), values.bytes.data(), q.data(), 128, 40, scores.data(), 40, scratch()));
  for (std::size_t p = 0; p < 40; ++p) EXPECT_EQ(std::isnan(scores[p]), p == 35) << p;
}

}  // namespace
}  // namespace optpipe::kernels
