// Sums over a block.
#pragma once

namespace optpipe::kernels::cuda {

template <class T>
__device__ T warp_sum(T value) {
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2) value += __shfl_xor_sync(0xffffffffu, value, offset);
  return value;
}

// The sum over all threads of the block, in every thread; blockDim.x is a multiple of 32. `scratch`: 32
// elements of shared memory.
template <class T>
__device__ T block_sum(T value, T* scratch) {
  const unsigned warp = threadIdx.x / 32, lane = threadIdx.x % 32, warps = blockDim.x / 32;
  value = warp_sum(value);
  __syncthreads();  // the scratch may still be read from the sum before
  if (lane == 0) scratch[warp] = value;
  __syncthreads();
  return warp_sum(lane < warps ? scratch[lane] : T(0));
}

}  // namespace optpipe::kernels::cuda
