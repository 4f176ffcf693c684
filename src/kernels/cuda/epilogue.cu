#include "kernels/cuda/launches.hpp"
#include "kernels/cuda/status.hpp"
#include "kernels/cuda/vectors.cuh"

namespace optpipe::kernels::cuda {
namespace {

constexpr int kThreads = 256;

__device__ float apply(float value, Activation activation) {
  if (activation == Activation::relu) return value < 0 ? 0 : value;  // NaN stays
  if (activation == Activation::gelu) return value * 0.5f * (1 + erff(value * 0.70710678118654752f));
  return value;
}

template <bool kWide>
__global__ void finish(Half* out, std::int64_t m, std::int64_t n, std::int64_t stride, const Half* bias,
                       Activation activation) {
  const std::int64_t groups = (n + 7) / 8;
  const std::int64_t step = std::int64_t{gridDim.x} * kThreads;
  for (std::int64_t i = std::int64_t{blockIdx.x} * kThreads + threadIdx.x; i < m * groups; i += step) {
    const std::int64_t column = i % groups * 8;
    Half* at = out + i / groups * stride + column;
    const int count = static_cast<int>(min(n - column, std::int64_t{8}));
    Eight values = unpack(load_eight<kWide>(at, count));
    const Eight addends = unpack(load_eight<kWide>(bias + column, bias ? count : 0));
#pragma unroll
    for (int j = 0; j < 8; ++j) values.at[j] = apply(values.at[j] + addends.at[j], activation);
    store_eight<kWide>(at, values, count);
  }
}

}  // namespace

void launch_epilogue(Half* out, std::int64_t m, std::int64_t n, std::int64_t stride, const Half* bias,
                     Activation activation, Stream stream) {
  const std::int64_t blocks = (m * ((n + 7) / 8) + kThreads - 1) / kThreads;
  const unsigned grid = static_cast<unsigned>(blocks < 4096 ? blocks : 4096);
  if (is_wide(out) && is_wide(bias) && is_wide(n) && is_wide(stride))
    finish<true><<<grid, kThreads, 0, stream>>>(out, m, n, stride, bias, activation);
  else
    finish<false><<<grid, kThreads, 0, stream>>>(out, m, n, stride, bias, activation);
  check_launch("finish");
}

}  // namespace optpipe::kernels::cuda
