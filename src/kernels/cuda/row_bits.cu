// What comparing products needs: numbers to multiply, and a sum over the bits of results.
#include "kernels/cuda/launches.hpp"
#include "kernels/cuda/status.hpp"
#include "kernels/cuda/vectors.cuh"

namespace optpipe::kernels::cuda {
namespace {

constexpr unsigned kThreads = 256, kBlocks = 1024;

// The finalizer of splitmix64: each bit of the argument changes half of the result's.
__device__ unsigned long long mix(unsigned long long x) {
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

// Sums wrap around and so do not depend on the order of blocks.
__global__ void sum_of_bits(const std::uint16_t* rows, std::int64_t columns, std::int64_t stride,
                            std::int64_t count, unsigned long long* sum) {
  unsigned long long own = 0;
  const std::int64_t step = std::int64_t{gridDim.x} * kThreads;
  for (std::int64_t i = std::int64_t{blockIdx.x} * kThreads + threadIdx.x; i < count; i += step)
    own += mix(static_cast<unsigned long long>(i) << 16 | rows[i / columns * stride + i % columns]);
  for (int other = 16; other > 0; other /= 2) own += __shfl_xor_sync(0xffffffffU, own, other);
  if (threadIdx.x % 32 == 0) atomicAdd(sum, own);
}

__global__ void noise(Half* out, std::int64_t count) {
  const std::int64_t step = std::int64_t{gridDim.x} * kThreads;
  for (std::int64_t i = std::int64_t{blockIdx.x} * kThreads + threadIdx.x; i < count; i += step)
    out[i] = to_half(static_cast<float>(static_cast<int>(mix(i) >> 48) - (1 << 15)) / (1 << 16));
}

}  // namespace

void launch_sum_of_bits(const void* rows, std::int64_t m, Bytes row_bytes, Bytes stride_bytes,
                        unsigned long long* sum, Stream stream) {
  constexpr Bytes unit = sizeof(std::uint16_t);
  const auto columns = static_cast<std::int64_t>(row_bytes / unit);
  check(cudaMemsetAsync(sum, 0, sizeof *sum, stream), "cudaMemsetAsync");
  sum_of_bits<<<kBlocks, kThreads, 0, stream>>>(static_cast<const std::uint16_t*>(rows), columns,
                                                static_cast<std::int64_t>(stride_bytes / unit), m * columns,
                                                sum);
  check_launch("sum_of_bits");
}

void launch_noise(Half* out, std::int64_t count, Stream stream) {
  noise<<<kBlocks, kThreads, 0, stream>>>(out, count);
  check_launch("noise");
}

}  // namespace optpipe::kernels::cuda
