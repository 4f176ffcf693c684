#include "kernels/cuda/launches.hpp"
#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/status.hpp"
#include "kernels/cuda/vectors.cuh"

namespace optpipe::kernels::cuda {
namespace {

constexpr float kEpsilon = 1e-5f;
constexpr int kMostThreads = 256;

struct Norm {
  const Half* x;
  std::int64_t h;
  const Half *weight, *bias;
  Half* out;
};

__device__ Eight ones() {
  Eight result;
#pragma unroll
  for (float& value : result.at) value = 1;
  return result;
}

// A row a block, held in registers: kGroups groups of eight elements a thread.
template <int kGroups>
__global__ void normalize_in_registers(Norm norm) {
  __shared__ float scratch[32];
  const Half* x = norm.x + blockIdx.x * norm.h;
  const auto column = [&](int g) {
    return (g * static_cast<int>(blockDim.x) + static_cast<int>(threadIdx.x)) * 8;
  };
  const auto count = [&](int g) { return static_cast<int>(norm.h) - column(g); };
  uint4 packed[kGroups];
#pragma unroll
  for (int g = 0; g < kGroups; ++g) packed[g] = load_eight<true>(x + column(g), count(g));
  float sum = 0;
#pragma unroll
  for (int g = 0; g < kGroups; ++g) {
    const Eight values = unpack(packed[g]);
#pragma unroll
    for (const float value : values.at) sum += value;
  }
  const float mean = block_sum(sum, scratch) / static_cast<float>(norm.h);
  float squares = 0;
#pragma unroll
  for (int g = 0; g < kGroups; ++g) {
    if (count(g) <= 0) continue;
    const Eight values = unpack(packed[g]);
#pragma unroll
    for (const float value : values.at) squares += (value - mean) * (value - mean);
  }
  const float inverse = 1 / sqrtf(block_sum(squares, scratch) / static_cast<float>(norm.h) + kEpsilon);
#pragma unroll
  for (int g = 0; g < kGroups; ++g) {
    if (count(g) <= 0) continue;
    Eight values = unpack(packed[g]);
    const Eight weight = norm.weight ? unpack(load_eight<true>(norm.weight + column(g), 8)) : ones();
    const Eight bias = unpack(load_eight<true>(norm.bias + column(g), norm.bias ? 8 : 0));
#pragma unroll
    for (int i = 0; i < 8; ++i) values.at[i] = (values.at[i] - mean) * inverse * weight.at[i] + bias.at[i];
    store_eight<true>(norm.out + blockIdx.x * norm.h + column(g), values, 8);
  }
}

// Rows of any length and alignment, read three times.
__global__ void normalize_any(Norm norm) {
  __shared__ float scratch[32];
  const Half* x = norm.x + blockIdx.x * norm.h;
  float sum = 0, squares = 0;
  for (std::int64_t i = threadIdx.x; i < norm.h; i += blockDim.x) sum += to_float(x[i]);
  const float mean = block_sum(sum, scratch) / static_cast<float>(norm.h);
  for (std::int64_t i = threadIdx.x; i < norm.h; i += blockDim.x) {
    const float difference = to_float(x[i]) - mean;
    squares += difference * difference;
  }
  const float inverse = 1 / sqrtf(block_sum(squares, scratch) / static_cast<float>(norm.h) + kEpsilon);
  for (std::int64_t i = threadIdx.x; i < norm.h; i += blockDim.x) {
    const float weight = norm.weight ? to_float(norm.weight[i]) : 1;
    const float bias = norm.bias ? to_float(norm.bias[i]) : 0;
    norm.out[blockIdx.x * norm.h + i] = to_half((to_float(x[i]) - mean) * inverse * weight + bias);
  }
}

}  // namespace

void launch_layer_norm(const Half* x, std::int64_t m, std::int64_t h, const Half* weight, const Half* bias,
                       Half* out, Stream stream) {
  const Norm norm{x, h, weight, bias, out};
  const auto grid = static_cast<unsigned>(m);
  const std::int64_t groups = (h + 7) / 8;
  const auto threads = static_cast<unsigned>(groups < kMostThreads ? (groups + 31) / 32 * 32 : kMostThreads);
  const bool wide = is_wide(h) && is_wide(x) && is_wide(weight) && is_wide(bias) && is_wide(out);
  if (!wide || groups > 8 * kMostThreads)
    normalize_any<<<grid, kMostThreads, 0, stream>>>(norm);
  else if (groups <= kMostThreads)
    normalize_in_registers<1><<<grid, threads, 0, stream>>>(norm);
  else if (groups <= 2 * kMostThreads)
    normalize_in_registers<2><<<grid, threads, 0, stream>>>(norm);
  else if (groups <= 4 * kMostThreads)
    normalize_in_registers<4><<<grid, threads, 0, stream>>>(norm);
  else
    normalize_in_registers<8><<<grid, threads, 0, stream>>>(norm);
  check_launch("layer norm");
}

}  // namespace optpipe::kernels::cuda
