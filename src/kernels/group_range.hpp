// The (minimum, scale) pair of a group, the same on all backends.
#pragma once

#include <cstdint>

#include "optpipe/base/dtype.hpp"

namespace optpipe::kernels {

struct GroupPair {
  std::uint16_t minimum = 0, scale = 0;  // binary16
};
static_assert(sizeof(GroupPair) == 4);

// The largest half not above `value`, and the smallest not below it; |value| <= 65280.
inline std::uint16_t half_below(float value) {
  const std::uint16_t half = float_to_half(value);
  if (half_to_float(half) <= value) return half;
  return static_cast<std::uint16_t>(half & 0x8000u ? half + 1 : half - 1);
}
inline std::uint16_t half_above(float value) {
  return static_cast<std::uint16_t>(half_below(-value) ^ 0x8000u);
}

inline constexpr std::uint16_t kHalfNan = 0x7e00;

// Of numbers between `least` and `most`, both within ±65280.
inline GroupPair pair_of(float least, float most, int largest_code) {
  const std::uint16_t minimum = half_below(least + 0.0f);  // -0 becomes 0
  const float range = most - half_to_float(minimum);
  return {minimum, range > 0 ? half_above(range / static_cast<float>(largest_code)) : std::uint16_t{0}};
}

// What (value - minimum) is multiplied by.
inline float inverse_of(GroupPair pair) { return pair.scale == 0 ? 0.0f : 1.0f / half_to_float(pair.scale); }

}  // namespace optpipe::kernels
