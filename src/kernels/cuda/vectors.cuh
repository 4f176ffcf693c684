// Groups of eight halves: what a thread loads or stores at once.
#pragma once

#include <cuda_fp16.h>

#include <cstdint>

namespace optpipe::kernels::cuda {

inline __device__ float to_float(std::uint16_t bits) { return __half2float(__ushort_as_half(bits)); }
inline __device__ std::uint16_t to_half(float value) { return __half_as_ushort(__float2half_rn(value)); }

struct Eight {
  float at[8];
};

inline __device__ Eight unpack(const uint4& packed) {
  Eight result;
  const auto* pairs = reinterpret_cast<const __half2*>(&packed);
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const float2 pair = __half22float2(pairs[i]);
    result.at[2 * i] = pair.x;
    result.at[2 * i + 1] = pair.y;
  }
  return result;
}

inline __device__ std::uint32_t pack(float low, float high) {
  const __half2 pair = __floats2half2_rn(low, high);
  return *reinterpret_cast<const std::uint32_t*>(&pair);
}

inline __device__ uint4 pack(const Eight& v) {
  return {pack(v.at[0], v.at[1]), pack(v.at[2], v.at[3]), pack(v.at[4], v.at[5]), pack(v.at[6], v.at[7])};
}

// Eight halves from `from`, of which the first `count` exist, the others are 0. Wide: one load, all or none.
template <bool kWide>
__device__ uint4 load_eight(const std::uint16_t* from, int count) {
  uint4 result = {0, 0, 0, 0};
  if constexpr (kWide) {
    if (count > 0) result = *reinterpret_cast<const uint4*>(from);
  } else {
    std::uint32_t words[4] = {0, 0, 0, 0};
#pragma unroll
    for (int i = 0; i < 8; ++i)
      if (i < count) words[i / 2] |= std::uint32_t{from[i]} << (16 * (i % 2));
    result = {words[0], words[1], words[2], words[3]};
  }
  return result;
}

template <bool kWide>
__device__ void store_eight(std::uint16_t* to, const Eight& values, int count) {
  if constexpr (kWide) {
    if (count > 0) *reinterpret_cast<uint4*>(to) = pack(values);
  } else {
#pragma unroll
    for (int i = 0; i < 8; ++i)
      if (i < count) to[i] = to_half(values.at[i]);
  }
}

// Whether loads of 16 bytes are possible.
inline bool is_wide(const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer) % 16 == 0; }
inline bool is_wide(std::int64_t halves) { return halves % 8 == 0; }

}  // namespace optpipe::kernels::cuda
