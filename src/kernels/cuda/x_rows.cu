#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/status.hpp"
#include "kernels/cuda/vectors.cuh"
#include "kernels/cuda/x_launches.hpp"

namespace optpipe::kernels::cuda {
namespace {

constexpr int kThreads = 256;

// A row of a task a block: into the cache, or out of it.
template <class Element, bool kAppend>
__global__ void copy_x(const KvTask* tasks, int elements, Element* x) {
  const KvTask task = tasks[blockIdx.x];
  if (static_cast<int>(blockIdx.y) >= task.rows) return;
  Element* row = x + (std::int64_t{task.first_row} + blockIdx.y) * elements;
  Element* cached =
      reinterpret_cast<Element*>(task.keys) + (std::int64_t{task.position} + blockIdx.y) * elements;
  for (int i = threadIdx.x; i < elements; i += kThreads) {
    if constexpr (kAppend)
      cached[i] = row[i];
    else
      row[i] = cached[i];
  }
}

template <bool kAppend>
void launch(const KvBatch& batch, std::int64_t h, Half* x, bool wide, Stream stream) {
  const dim3 grid(static_cast<unsigned>(batch.count), static_cast<unsigned>(batch.most_rows));
  if (wide)
    copy_x<uint4, kAppend>
        <<<grid, kThreads, 0, stream>>>(batch.tasks, static_cast<int>(h / 8), reinterpret_cast<uint4*>(x));
  else
    copy_x<Half, kAppend><<<grid, kThreads, 0, stream>>>(batch.tasks, static_cast<int>(h), x);
  check_launch("copy_x");
}

__device__ float warp_most(float value) {
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2)
    value = fmaxf(value, __shfl_xor_sync(0xffffffffu, value, offset));
  return value;
}
// As block_sum.
__device__ float block_most(float value, float* scratch) {
  const unsigned warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  value = warp_most(value);
  if (lane == 0) scratch[warp] = value;
  __syncthreads();
  return warp_most(lane < kThreads / 32 ? scratch[lane] : -INFINITY);
}

// A head of a task a block; scores are in units of log 2. Behind the context weights are 0 up to a whole
// group, which the product with X reads.
__global__ void __launch_bounds__(kThreads)
    soften(const KvTask* tasks, int heads, const float* scores, Half* weights, std::int64_t stride) {
  const KvTask task = tasks[blockIdx.y];
  if (task.rows == 0) return;
  const int context = task.position + task.rows, end = (context + 63) / 64 * 64;
  const std::int64_t at = (std::int64_t{task.first_row} * heads + blockIdx.x) * stride;
  __shared__ float shared[32];
  float most = -INFINITY;
  for (int i = threadIdx.x; i < context; i += kThreads) most = fmaxf(most, scores[at + i]);
  most = block_most(most, shared);
  float total = 0;
  for (int i = threadIdx.x; i < context; i += kThreads) total += exp2f(scores[at + i] - most);
  total = block_sum(total, shared);
  const float inverse = 1 / total;
  for (int i = threadIdx.x; i < end; i += kThreads)
    weights[at + i] = to_half(i < context ? exp2f(scores[at + i] - most) * inverse : 0.0f);
}

}  // namespace

void launch_append_x(const KvBatch& batch, std::int64_t h, const Half* x, bool wide, Stream stream) {
  launch<true>(batch, h, const_cast<Half*>(x), wide, stream);  // which is only read then
}
void launch_gather_x(const KvBatch& batch, std::int64_t h, Half* x, bool wide, Stream stream) {
  launch<false>(batch, h, x, wide, stream);
}

void launch_softmax(const KvBatch& batch, const XAttention& a, Stream stream) {
  const dim3 grid(static_cast<unsigned>(a.heads), static_cast<unsigned>(batch.count));
  soften<<<grid, kThreads, 0, stream>>>(batch.tasks, static_cast<int>(a.heads), a.scores, a.weights,
                                        a.score_stride);
  check_launch("soften");
}

}  // namespace optpipe::kernels::cuda
