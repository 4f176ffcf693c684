// Decode attention in which only the values with the largest weights count: a block a head of a task.
#include <cfloat>

#include "kernels/cuda/launches.hpp"
#include "kernels/cuda/order_key.cuh"
#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/status.hpp"
#include "kernels/cuda/vectors.cuh"

namespace optpipe::kernels::cuda {
namespace {

constexpr int kThreads = 128;
constexpr float kLog2e = 1.44269504f;

// The largest of all threads' values, on all threads.
__device__ float block_most(float value, float* scratch) {
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2)
    value = fmaxf(value, __shfl_xor_sync(0xffffffffu, value, offset));
  if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = value;
  __syncthreads();
  for (int w = 0; w < kThreads / 32; ++w) value = fmaxf(value, scratch[w]);
  return value;
}

// Of scores[0 .. count) all but the `kept` largest become -infinity; among equals the first ones stay.
__device__ void keep_largest(float* scores, int count, int kept, int* scratch) {
  const auto count_if = [&](auto holds) {
    int own = 0;
    for (int p = threadIdx.x; p < count; p += kThreads) own += holds(key_of(scores[p])) ? 1 : 0;
    return block_sum(own, scratch);
  };
  if (kept >= count) return;
  std::uint32_t least = 0;  // largest key that so many scores reach
  for (int bit = 31; bit >= 0; --bit) {
    const std::uint32_t next = least | (1u << bit);
    if (count_if([next](std::uint32_t key) { return key >= next; }) >= kept) least = next;
  }
  const int equals = kept - count_if([least](std::uint32_t key) { return key > least; });
  bool drop[kMostSparseContext / kThreads];
  int turn = 0;
  for (int p = threadIdx.x; p < count; p += kThreads, ++turn) {
    const std::uint32_t key = key_of(scores[p]);
    drop[turn] = kept == 0 || key < least;
    if (key != least || kept == 0) continue;
    int before = 0;
    for (int i = 0; i < p && before < equals; ++i) before += key_of(scores[i]) == least ? 1 : 0;
    drop[turn] = before >= equals;
  }
  __syncthreads();
  turn = 0;
  for (int p = threadIdx.x; p < count; p += kThreads, ++turn)
    if (drop[turn]) scores[p] = -INFINITY;
  __syncthreads();
}

template <int kLanes, bool kWide>
__global__ void attend_sparse(const KvTask* tasks, int dim, AttentionRows rows) {
  constexpr int kGroups = kThreads / kLanes;
  extern __shared__ float scores[];
  __shared__ float sums[kGroups][kLanes * 8], float_scratch[32];
  __shared__ int int_scratch[32];
  const KvTask task = tasks[blockIdx.y];
  const int head = blockIdx.x;
  if (head >= task.heads || task.rows == 0) return;
  const int context = task.position + 1;
  const int column = threadIdx.x % kLanes * 8, group = threadIdx.x / kLanes;
  const std::int64_t stride = std::int64_t{task.heads} * dim;
  const int at_column = (task.first_head + head) * dim;
  const Half *keys = task.keys + head * dim, *values = task.values + head * dim;

  Eight q =
      unpack(load_eight<kWide>(rows.q + task.first_row * rows.q_stride + at_column + column, dim - column));
  const float scale = rsqrtf(static_cast<float>(dim)) * kLog2e;
#pragma unroll
  for (float& value : q.at) value *= scale;
  for (int base = 0; base < context; base += kGroups) {
    const int p = base + group;
    const Eight key = unpack(load_eight<kWide>(keys + p * stride + column, p < context ? dim - column : 0));
    float score = 0;
#pragma unroll
    for (int i = 0; i < 8; ++i) score += q.at[i] * key.at[i];
#pragma unroll
    for (int offset = kLanes / 2; offset > 0; offset /= 2)
      score += __shfl_xor_sync(0xffffffffu, score, offset);
    if (column == 0 && p < context) scores[p] = score;
  }
  __syncthreads();
  float most = -FLT_MAX;
  for (int p = threadIdx.x; p < context; p += kThreads) most = fmaxf(most, scores[p]);
  most = block_most(most, float_scratch);
  float total = 0;
  for (int p = threadIdx.x; p < context; p += kThreads) total += exp2f(scores[p] - most);
  total = block_sum(total, float_scratch);
  keep_largest(scores, context - 1, static_cast<int>(rows.sparsity * (context - 1)), int_scratch);

  Eight sum{};
  for (int p = group; p < context; p += kGroups) {
    const float weight = exp2f(scores[p] - most);
    if (weight == 0) continue;
    const Eight value = unpack(load_eight<kWide>(values + p * stride + column, dim - column));
#pragma unroll
    for (int i = 0; i < 8; ++i) sum.at[i] += weight * value.at[i];
  }
#pragma unroll
  for (int i = 0; i < 8; ++i) sums[group][column + i] = sum.at[i];
  __syncthreads();
  for (int i = threadIdx.x; i < dim; i += kThreads) {
    float all = 0;
    for (int g = 0; g < kGroups; ++g) all += sums[g][i];
    rows.out[task.first_row * rows.out_stride + at_column + i] = to_half(all / total);
  }
}

using Kernel = void (*)(const KvTask*, int, AttentionRows);

template <bool kWide>
Kernel kernel_for(std::int64_t dim) {
  if (dim <= 8) return attend_sparse<1, kWide>;
  if (dim <= 16) return attend_sparse<2, kWide>;
  if (dim <= 32) return attend_sparse<4, kWide>;
  if (dim <= 64) return attend_sparse<8, kWide>;
  if (dim <= 128) return attend_sparse<16, kWide>;
  return attend_sparse<32, kWide>;
}

}  // namespace

void launch_sparse_attention(const KvBatch& batch, std::int64_t head_dim, const AttentionRows& rows,
                             bool wide, Stream stream) {
  const std::int64_t shared = batch.most_context * static_cast<std::int64_t>(sizeof(float));
  const Kernel kernel = wide ? kernel_for<true>(head_dim) : kernel_for<false>(head_dim);
  kernel<<<dim3(static_cast<unsigned>(batch.most_heads), static_cast<unsigned>(batch.count)), kThreads,
           static_cast<std::size_t>(shared), stream>>>(batch.tasks, static_cast<int>(head_dim), rows);
  check_launch("attend_sparse");
}

}  // namespace optpipe::kernels::cuda
