// Bulk conversions against the scalar ones of base/dtype.hpp, which have tests of their own.
#include <bit>
#include <cmath>
#include <cstring>

#include "optpipe/kernels/cpu.hpp"
#include "unit/kernels/support.hpp"

namespace optpipe::kernels {
namespace {

using Convert = testing::OnTarget;
INSTANTIATE_ON_TARGETS(Convert);

TEST_P(Convert, WidensEveryNumberExactly) {
  std::vector<std::uint16_t> all(65536);
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<std::uint16_t>(i);
  for (const DType type : {DType::f16, DType::bf16}) {
    std::vector<float> out(all.size(), -1.0f);
    to_float(reinterpret_cast<const std::byte*>(all.data()), type, out.data(), 65536);
    for (std::size_t i = 0; i < all.size(); ++i) {
      const float scalar = type == DType::f16 ? half_to_float(all[i]) : bfloat16_to_float(all[i]);
      if (std::isnan(scalar))
        ASSERT_TRUE(std::isnan(out[i])) << name_of(type) << " bits " << i;
      else
        ASSERT_EQ(std::bit_cast<std::uint32_t>(out[i]), std::bit_cast<std::uint32_t>(scalar))
            << name_of(type) << " bits " << i;
    }
  }
}

// Every exponent and sign, with mantissas around each rounding boundary, and random ones.
std::vector<float> hard_floats() {
  std::vector<float> result;
  std::mt19937 random(7);
  for (std::uint32_t high = 0; high < 512; ++high) {
    for (const std::uint32_t mantissa :
         {0u,       1u,       0xfffu,    0x1000u,   0x1001u,   0x1fffu,   0x2000u,
          0x2fffu,  0x3000u,  0x3001u,   0x7fffu,   0x8000u,   0x8001u,   0x17fffu,
          0x18000u, 0x18001u, 0x3fffffu, 0x400000u, 0x7fefffu, 0x7ff000u, 0x7fffffu})
      result.push_back(std::bit_cast<float>(high << 23 | mantissa));
    for (int i = 0; i < 300; ++i)
      result.push_back(std::bit_cast<float>(high << 23 | (static_cast<std::uint32_t>(random()) & 0x7fffffu)));
    for (std::uint32_t shift = 0; shift < 23; ++shift)  // ties of subnormal halves
      for (const int offset : {-1, 0, 1})
        result.push_back(
            std::bit_cast<float>((high << 23 | (1u << shift)) + static_cast<std::uint32_t>(offset)));
  }
  return result;
}

TEST_P(Convert, NarrowsLikeTheScalarFunctions) {
  const auto from = hard_floats();
  for (const DType type : {DType::f16, DType::bf16}) {
    std::vector<std::uint16_t> out(from.size(), 0xdead);
    from_float(from.data(), reinterpret_cast<std::byte*>(out.data()), type,
               static_cast<std::int64_t>(from.size()));
    for (std::size_t i = 0; i < from.size(); ++i) {
      const std::uint16_t scalar = type == DType::f16 ? float_to_half(from[i]) : float_to_bfloat16(from[i]);
      if (std::isnan(from[i]))
        ASSERT_TRUE(std::isnan(type == DType::f16 ? half_to_float(out[i]) : bfloat16_to_float(out[i])));
      else
        ASSERT_EQ(out[i], scalar) << name_of(type) << " of " << std::hexfloat << from[i];
    }
  }
}

TEST_P(Convert, KeepsToItsCount) {
  const auto from = testing::Random(8).floats(100);
  for (const DType type : testing::kAllTypes)
    for (std::int64_t count = 0; count <= 70; ++count) {
      std::vector<std::byte> narrow(100 * size_of(type), std::byte{0x5a});
      from_float(from.data() + 1, narrow.data(), type, count);
      std::vector<float> wide(100, testing::kPoison);
      to_float(narrow.data(), type, wide.data(), count);
      for (std::size_t i = 0; i < 100; ++i) {
        if (i < static_cast<std::size_t>(count))
          ASSERT_NEAR(wide[i], from[i + 1], std::abs(from[i + 1]) * (type == DType::f32 ? 0 : 0x1p-8));
        else
          ASSERT_TRUE(std::isnan(wide[i]) && narrow[i * size_of(type)] == std::byte{0x5a})
              << "written past the end";
      }
    }
}

}  // namespace
}  // namespace optpipe::kernels
