// Integers in the order of floats.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace optpipe::kernels::cuda {

// Larger numbers have larger keys; -0 has 0's key. Not for NaN.
inline __device__ std::uint32_t key_of(float value) {
  const std::uint32_t bits = __float_as_uint(value + 0.0f);
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

inline __device__ float value_of(std::uint32_t key) {
  return __uint_as_float(key & 0x80000000u ? key & 0x7fffffffu : ~key);
}

}  // namespace optpipe::kernels::cuda
