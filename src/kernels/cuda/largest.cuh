// The largest of a row of logits.
#pragma once

#include <cuda_runtime.h>

#include <climits>
#include <cstdint>

namespace optpipe::kernels::cuda {

struct Largest {
  float value;
  std::int32_t token;
};

// Of equal values the first one; NaN compares false, so it never wins.
inline __device__ Largest larger(const Largest& a, const Largest& b) {
  return b.value > a.value || (b.value == a.value && b.token < a.token) ? b : a;
}

inline __device__ Largest largest_of_warp(Largest mine) {
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2)
    mine = larger(mine, {__shfl_xor_sync(0xffffffffu, mine.value, offset),
                         __shfl_xor_sync(0xffffffffu, mine.token, offset)});
  return mine;
}

// In every thread of a block of 1024. Token 0 where all are NaN. `scratch`: 32 elements of shared memory.
inline __device__ Largest find_largest(const float* row, int count, Largest* scratch) {
  Largest mine{-INFINITY, INT_MAX};
  for (int i = threadIdx.x; i < count; i += blockDim.x) mine = larger(mine, {row[i], i});
  mine = largest_of_warp(mine);
  if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = mine;
  __syncthreads();
  mine = largest_of_warp(scratch[threadIdx.x % 32]);
  if (mine.token == INT_MAX) mine = {row[0], 0};
  return mine;
}

}  // namespace optpipe::kernels::cuda
