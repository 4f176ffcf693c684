// Quantized rows (base/storage_format.hpp) in registers.
#pragma once

#include <cuda_fp16.h>

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/vectors.cuh"
#include "optpipe/base/storage_format.hpp"

namespace optpipe::kernels::cuda {

struct CodeRange {
  float minimum, scale;
};

inline __device__ CodeRange range_of(std::uint32_t pair) {
  return {to_float(static_cast<std::uint16_t>(pair)), to_float(static_cast<std::uint16_t>(pair >> 16))};
}

// Both steps are exact but for the last addition's rounding: the CPU's number.
inline __device__ float value_of(CodeRange range, std::uint32_t code) {
  constexpr float kMagic = 8388608;  // 2²³: codes stand in the lowest bits of the mantissa
  return fmaf(__uint_as_float(0x4b000000u | code) - kMagic, range.scale, range.minimum);
}

// One of a run's units: 4 bytes of 4-bit codes or 8 bytes of 8-bit ones, so 8 values, of one group.
template <StorageFormat format>
struct CodeUnit {
  static constexpr int kBytes = format == StorageFormat::q4 ? 4 : 8;

  int group, first, half, values;  // the group; the first byte in it; bytes of it; values of it

  __device__ CodeUnit(int unit, int run) {
    constexpr int kGroupBytes = static_cast<int>(code_bytes(format, kGroupValues));
    group = unit / (kGroupBytes / kBytes);
    first = unit * kBytes - group * kGroupBytes;
    values = max(0, min(static_cast<int>(kGroupValues), run - group * static_cast<int>(kGroupValues)));
    half = static_cast<int>(code_bytes(format, values));
  }

  __device__ bool exists() const { return first < half; }
  __device__ int byte() const { return group * static_cast<int>(code_bytes(format, kGroupValues)) + first; }

  // The column of value v < 8 in the run, -1 where there is none.
  __device__ int column(int v) const {
    const int at = first + (format == StorageFormat::q4 ? v % 4 : v);
    const int value = format == StorageFormat::q4 && v >= 4 ? half + at : at;
    return at < half && value < values ? group * static_cast<int>(kGroupValues) + value : -1;
  }

  // The unit's bytes of a run's codes. Wide: all of them exist, at a multiple of 4 bytes.
  template <bool kWide>
  __device__ uint2 load(const std::byte* codes) const {
    uint2 raw = {0, 0};
    if (!exists()) return raw;
    const std::byte* from = codes + byte();
    if constexpr (kWide) {
      raw.x = *reinterpret_cast<const std::uint32_t*>(from);
      if (format == StorageFormat::q8) raw.y = *reinterpret_cast<const std::uint32_t*>(from + 4);
    } else {
#pragma unroll
      for (int b = 0; b < kBytes; ++b)
        if (first + b < half) (b < 4 ? raw.x : raw.y) |= static_cast<std::uint32_t>(from[b]) << (8 * (b % 4));
    }
    return raw;
  }

  static __device__ Eight widen(uint2 raw, CodeRange range) {
    Eight result;
#pragma unroll
    for (int v = 0; v < 8; ++v) {
      const std::uint32_t word = format == StorageFormat::q8 && v >= 4 ? raw.y : raw.x;
      const std::uint32_t code = format == StorageFormat::q4 ? word >> (8 * (v % 4) + v / 4 * 4) & 15u
                                                             : word >> (8 * (v % 4)) & 255u;
      result.at[v] = value_of(range, code);
    }
    return result;
  }
};

// Whole groups of 64 values, whose codes follow each other at multiples of 4 bytes: 8 bytes of codes at a
// time.
template <StorageFormat format>
struct WholeGroups {
  static constexpr int kUnits = static_cast<int>(code_bytes(format, kGroupValues)) / 8;  // of a group

  // Unit `unit` of all groups → its place in `out`, with stores of 16 bytes.
  static __device__ void widen(const std::byte* codes, const std::byte* pairs, int unit, std::uint16_t* out) {
    const auto* words = reinterpret_cast<const std::uint32_t*>(codes + 8 * unit);
    const std::uint32_t raw[2] = {words[0], words[1]};
    const int group = unit / kUnits;
    const CodeRange range =
        range_of(*reinterpret_cast<const std::uint32_t*>(pairs + group * static_cast<int>(kGroupPairBytes)));
    const auto eight = [&](int shift, std::uint32_t mask) {
      Eight values;
#pragma unroll
      for (int v = 0; v < 8; ++v) values.at[v] = value_of(range, raw[v / 4] >> (8 * (v % 4) + shift) & mask);
      return pack(values);
    };
    auto* to = reinterpret_cast<uint4*>(out + group * static_cast<int>(kGroupValues) + unit % kUnits * 8);
    if constexpr (format == StorageFormat::q4) {
      to[0] = eight(0, 15u);
      to[kGroupValues / 2 / 8] = eight(4, 15u);
    } else {
      to[0] = eight(0, 255u);
    }
  }
};

// A (minimum, scale) pair. Wide: at a multiple of 4 bytes.
template <bool kWide>
__device__ std::uint32_t load_pair(const std::byte* from) {
  if constexpr (kWide) return *reinterpret_cast<const std::uint32_t*>(from);
  std::uint32_t pair = 0;
#pragma unroll
  for (int b = 0; b < 4; ++b) pair |= static_cast<std::uint32_t>(from[b]) << (8 * b);
  return pair;
}

}  // namespace optpipe::kernels::cuda
