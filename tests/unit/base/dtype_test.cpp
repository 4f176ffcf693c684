#include "optpipe/base/dtype.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

namespace optpipe {
namespace {

bool is_half_nan(std::uint16_t bits) { return (bits & 0x7c00) == 0x7c00 && (bits & 0x3ff) != 0; }

// The value by the format's definition.
float half_by_definition(std::uint16_t bits) {
  const int exponent = (bits >> 10) & 31, mantissa = bits & 1023;
  const float sign = (bits & 0x8000) ? -1.0f : 1.0f;
  if (exponent == 31) return sign * std::numeric_limits<float>::infinity();
  return sign * (exponent == 0 ? std::ldexp(static_cast<float>(mantissa), -24)
                               : std::ldexp(static_cast<float>(1024 + mantissa), exponent - 25));
}

TEST(Half, EveryValueWidensExactlyAndComesBack) {
  for (std::uint32_t i = 0; i < 65536; ++i) {
    const auto bits = static_cast<std::uint16_t>(i);
    if (is_half_nan(bits)) {
      EXPECT_TRUE(std::isnan(half_to_float(bits)));
      EXPECT_TRUE(is_half_nan(float_to_half(half_to_float(bits))));
      continue;
    }
    EXPECT_EQ(half_to_float(bits), half_by_definition(bits)) << i;
    EXPECT_EQ(float_to_half(half_to_float(bits)), bits) << i;
  }
}

// Between two neighbours the nearer one, and in the middle the even one.
TEST(Half, RoundsToNearestEven) {
  for (std::uint32_t i = 0; i + 1 < 0x7c00; ++i) {
    const auto low = static_cast<std::uint16_t>(i), high = static_cast<std::uint16_t>(i + 1);
    const float a = half_to_float(low), b = half_to_float(high), middle = a + (b - a) / 2;
    EXPECT_EQ(float_to_half(middle), i % 2 == 0 ? low : high) << i;
    EXPECT_EQ(float_to_half(std::nextafter(middle, a)), low) << i;
    EXPECT_EQ(float_to_half(std::nextafter(middle, b)), high) << i;
    EXPECT_EQ(float_to_half(-std::nextafter(middle, b)), high | 0x8000) << i;
  }
  EXPECT_EQ(float_to_half(65519.996f), 0x7bff);
  EXPECT_EQ(float_to_half(65520.0f), 0x7c00) << "overflow gives infinity";
}

TEST(Bfloat16, WidensExactlyAndRoundsToNearestEven) {
  for (std::uint32_t i = 0; i < 0x7f80; ++i) {
    const auto bits = static_cast<std::uint16_t>(i);
    const float value = bfloat16_to_float(bits);
    std::uint32_t wide;
    std::memcpy(&wide, &value, 4);
    EXPECT_EQ(wide, i << 16);
    EXPECT_EQ(float_to_bfloat16(value), bits);
  }
  EXPECT_EQ(float_to_bfloat16(1.0f + 0x1p-8f), 0x3f80) << "a tie goes to the even neighbour below";
  EXPECT_EQ(float_to_bfloat16(1.0f + 3 * 0x1p-8f), 0x3f82) << "and to the even one above";
  EXPECT_TRUE(std::isnan(bfloat16_to_float(float_to_bfloat16(std::nanf("")))));
}

TEST(Convert, BetweenAllFormats) {
  const std::vector<float> values{0.0f, -1.5f, 0.25f, 1024.0f};
  for (const DType from : {DType::f32, DType::f16, DType::bf16}) {
    for (const DType to : {DType::f32, DType::f16, DType::bf16}) {
      std::vector<std::byte> a(values.size() * 4), b(values.size() * 4);
      std::vector<float> back(values.size(), -7.0f);
      convert(reinterpret_cast<const std::byte*>(values.data()), DType::f32, a.data(), from, values.size());
      convert(a.data(), from, b.data(), to, values.size());
      convert(b.data(), to, reinterpret_cast<std::byte*>(back.data()), DType::f32, values.size());
      EXPECT_EQ(back, values) << name_of(from) << " to " << name_of(to);
    }
  }
}

}  // namespace
}  // namespace optpipe
