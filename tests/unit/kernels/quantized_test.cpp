// Quantization against its definition, bit by bit, and the definition against its error bound.
#include "optpipe/kernels/quantized.hpp"

#include <cmath>
#include <limits>

#include "unit/kernels/support.hpp"

namespace optpipe::kernels {
namespace {

constexpr StorageFormat kFormats[] = {StorageFormat::q8, StorageFormat::q4};
constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::vector<std::byte> quantized(const RowFormat& format, std::int64_t runs, const std::vector<float>& row) {
  std::vector<std::byte> bytes(format.row_bytes(runs) + 1, std::byte{0x5a});
  quantize(format, runs, row.data(), bytes.data());
  EXPECT_EQ(bytes.back(), std::byte{0x5a}) << "written past the row's end";
  bytes.pop_back();
  return bytes;
}

std::vector<float> widened(const RowFormat& format, std::int64_t runs, const std::vector<std::byte>& bytes) {
  std::vector<float> row(static_cast<std::size_t>(runs * format.run) + 1, 12345.0f);
  dequantize(format, runs, bytes.data(), row.data());
  EXPECT_EQ(row.back(), 12345.0f) << "written past the row's end";
  row.pop_back();
  return row;
}

// Rows that are hard somewhere: ordinary ones, tiny and huge numbers, outliers, equal numbers, broken ones.
std::vector<std::vector<float>> hard_rows(std::int64_t count) {
  testing::Random random(static_cast<std::uint64_t>(count));
  std::vector<std::vector<float>> rows;
  for (const float scale : {1.0f, 0.02f, 1e-7f, 1e-30f, 3e4f, 1e9f})
    rows.push_back(random.floats(count, scale));
  rows.push_back(std::vector<float>(static_cast<std::size_t>(count), 0.1f));
  rows.push_back(std::vector<float>(static_cast<std::size_t>(count), -0.0f));
  auto outliers = random.floats(count, 0.01f);
  outliers[0] = -70000;
  outliers[outliers.size() / 2] = 66000;
  rows.push_back(outliers);
  auto broken = random.floats(count);
  broken[broken.size() / 2] = std::nanf("");
  broken[0] = -kInfinity;
  broken.back() = kInfinity;
  rows.push_back(broken);
  auto offset = random.floats(count, 0.001f);
  for (float& v : offset) v += 100;
  rows.push_back(offset);
  return rows;
}

using Quantized = testing::OnTarget;
INSTANTIATE_ON_TARGETS(Quantized);

TEST_P(Quantized, SameBitsAsTheDefinition) {
  for (const StorageFormat format : kFormats)
    for (const std::int64_t run :
         {1, 2, 3, 7, 8, 15, 16, 31, 32, 63, 64, 65, 80, 96, 100, 128, 129, 200, 1024})
      for (const std::int64_t runs : {1, 3})
        for (const auto& row : hard_rows(run * runs)) {
          const RowFormat rows{format, DType::f16, run};
          std::vector<std::byte> expected(rows.row_bytes(runs));
          reference::quantize(rows, runs, row.data(), expected.data());
          const auto bytes = quantized(rows, runs, row);
          ASSERT_EQ(bytes, expected) << name_of(format) << ", " << runs << " runs of " << run;
          std::vector<float> values(row.size());
          reference::dequantize(rows, runs, expected.data(), values.data());
          ASSERT_TRUE(testing::same_bits(widened(rows, runs, bytes), values));
        }
}

TEST_P(Quantized, ErrorIsWithinTheBound) {
  for (const StorageFormat format : kFormats)
    for (const std::int64_t run : {5, 64, 80, 128, 1000})
      for (const auto& row : hard_rows(run)) {
        const RowFormat rows{format, DType::f16, run};
        const auto bytes = quantized(rows, 1, row);
        const auto values = widened(rows, 1, bytes);
        for (std::int64_t g = 0; g < rows.groups(); ++g) {
          const auto begin = static_cast<std::size_t>(g * kGroupValues);
          const auto end = begin + static_cast<std::size_t>(rows.values_of_group(g));
          double least = INFINITY, most = -INFINITY;
          bool broken = false;
          for (std::size_t i = begin; i < end; ++i) {
            const double v = std::clamp(row[i], -kLargestQuantized, kLargestQuantized);
            least = std::min(least, v);
            most = std::max(most, v);
            broken = broken || std::isnan(row[i]);
          }
          // The minimum is up to an fp16 step below the least value; scale as the header says.
          const double minimum_step = std::max(std::abs(least) * 0x1p-10, 0x1p-24);
          const double scale = (most - least + minimum_step) / largest_code(format) * (1 + 0x1p-10) + 0x1p-24;
          for (std::size_t i = begin; i < end; ++i) {
            if (broken) {
              ASSERT_TRUE(std::isnan(values[i])) << "a broken group looks sound";
              continue;
            }
            const double v = std::clamp(row[i], -kLargestQuantized, kLargestQuantized);
            ASSERT_LE(std::abs(values[i] - v),
                      scale / 2 + std::max(std::abs(least), std::abs(most)) * 0x1p-22)
                << name_of(format) << " of " << row[i] << " between " << least << " and " << most;
            ASSERT_LT(std::abs(values[i]), 65504.0f) << "overflows fp16";
          }
        }
      }
}

TEST_P(Quantized, EqualHalvesAreExact) {
  for (const StorageFormat format : kFormats)
    for (const float value : {0.0f, 1.0f, -0.333251953125f, 0x1p-24f, 65280.0f, -65280.0f}) {
      const RowFormat rows{format, DType::f16, 130};
      const std::vector<float> row(130, value);
      EXPECT_EQ(widened(rows, 1, quantized(rows, 1, row)), row);
    }
}

TEST_P(Quantized, EndsOfTheRangeAreWithinHalfAStepOfHalfPrecision) {
  // Codes 0 and the largest reach both ends, so that a group of two different halves comes back as such.
  for (const StorageFormat format : kFormats) {
    const RowFormat rows{format, DType::f16, 64};
    std::vector<float> row(64, -0.5f);
    for (std::size_t i = 1; i < 64; i += 2) row[i] = 0.25f;
    const auto values = widened(rows, 1, quantized(rows, 1, row));
    for (std::size_t i = 0; i < 64; ++i) EXPECT_NEAR(values[i], row[i], 0.75 * 0x1p-10);
  }
}

TEST(RowFormatTest, BytesOfRows) {
  EXPECT_EQ((RowFormat{StorageFormat::q4, DType::f16, 7168}.row_bytes()), 7168u / 64 * 36);
  EXPECT_EQ((RowFormat{StorageFormat::q8, DType::f16, 7168}.row_bytes()), 7168u / 64 * 68);
  EXPECT_EQ((RowFormat{StorageFormat::q4, DType::f16, 80}.row_bytes(2)), 2u * (32 + 8 + 2 * 4));
  EXPECT_EQ((RowFormat{StorageFormat::q4, DType::f16, 7}.row_bytes()), 4u + 4);
  EXPECT_EQ((RowFormat{StorageFormat::native, DType::f32, 80}.row_bytes(3)), 3u * 80 * 4);
  EXPECT_EQ((RowFormat{StorageFormat::native, DType::bf16, 80}.row_bytes()), 160u);
}

}  // namespace
}  // namespace optpipe::kernels
