// How combinations of rows are cut into units of work. The cut decides about speed only.
#pragma once

#include <cstdint>

#include "optpipe/kernels/cpu.hpp"

namespace optpipe::kernels {

inline constexpr std::int64_t kCombineColumns = 128;  // of a unit; whole groups of quantized rows
inline constexpr std::int64_t kCombineRows = 256;     // · kCombineColumns: in the second-level cache

struct CombineArguments {
  const float* x = nullptr;  // [m, k]
  std::int64_t x_stride = 0, m = 0;
  const MatrixView* matrix = nullptr;  // [k, n]
  float* out = nullptr;                // [m, n]
  std::int64_t out_stride = 0;
};

}  // namespace optpipe::kernels
