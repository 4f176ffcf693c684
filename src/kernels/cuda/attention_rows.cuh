// Attention of one query a block, at the speed of memory: a row of keys (and of values) is read by a group of
// lanes, eight values each, groups take positions in turn, and each keeps a running softmax of its own. They
// are merged at the end, and so are the parts of a context that several blocks share.
#pragma once

#include <cfloat>

#include "kernels/cuda/kv_rows.cuh"
#include "kernels/cuda/launches.hpp"

namespace optpipe::kernels::cuda {

constexpr int kThreads = 128;
constexpr int kUnroll = 8;  // positions of a group in flight
constexpr float kLog2e = 1.44269504f;
constexpr float kLeast = -FLT_MAX;  // a maximum of nothing, without the NaN of ∞ - ∞

// A softmax on the way: scores are in units of log 2, sums relative to the largest so far.
struct Running {
  float most = kLeast, total = 0;
  Eight sums{};

  template <class Rows>
  __device__ void add(const float (&scores)[kUnroll], const typename Rows::Packed (&values)[kUnroll]) {
    float next = most;
#pragma unroll
    for (const float score : scores) next = fmaxf(next, score);
    const float fade = exp2f(most - next);
    most = next;
    total *= fade;
#pragma unroll
    for (float& sum : sums.at) sum *= fade;
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      const float weight = exp2f(scores[u] - next);
      const Eight value = Rows::widen(values[u]);
      total += weight;
#pragma unroll
      for (int i = 0; i < 8; ++i) sums.at[i] += weight * value.at[i];
    }
  }
};

// Positions [begin, end) of one head of a segment.
template <int kLanes, class Rows>
__device__ Running attend(const Rows& rows, int begin, int end, const Eight& q) {
  constexpr int kGroups = kThreads / kLanes;
  const int group = threadIdx.x / kLanes;
  Running running;
  for (int base = begin + group; base - group < end; base += kGroups * kUnroll) {
    typename Rows::Packed keys[kUnroll], values[kUnroll];
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      const int position = base + u * kGroups;
      keys[u] = rows.key(position, position < end);
      values[u] = rows.value(position, position < end);
    }
    float scores[kUnroll];
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      const Eight key = Rows::widen(keys[u]);
      float score = 0;
#pragma unroll
      for (int i = 0; i < 8; ++i) score += q.at[i] * key.at[i];
#pragma unroll
      for (int offset = kLanes / 2; offset > 0; offset /= 2)
        score += __shfl_xor_sync(0xffffffffu, score, offset);
      scores[u] = base + u * kGroups < end ? score : -INFINITY;
    }
    running.add<Rows>(scores, values);
  }
  return running;
}

// Where a block's result goes: partial[0] = largest score, [1] = total, [2 ...] = sums.
inline __device__ float* partial_at(float* partials, int pitch, int split, int splits) {
  const std::int64_t row = std::int64_t{blockIdx.z} * gridDim.x + blockIdx.x;
  return partials + (row * splits + split) * pitch;
}

template <int kLanes, class Rows>
__global__ void attend_rows(const KvTask* tasks, int dim, AttentionRows rows, int splits, float* partials) {
  constexpr int kGroups = kThreads / kLanes;
  __shared__ float most[kGroups], total[kGroups], sums[kGroups][kLanes * 8];
  const KvTask task = tasks[blockIdx.z];
  const int head = blockIdx.x, row = splits > 0 ? 0 : blockIdx.y, split = splits > 0 ? blockIdx.y : 0;
  if (head >= task.heads || row >= task.rows) return;
  const int context = task.position + row + 1;
  const int part = splits > 1 ? (context + splits - 1) / splits : context;
  const int lane = threadIdx.x % kLanes, group = threadIdx.x / kLanes;
  const std::int64_t at_row = std::int64_t{task.first_row} + row;
  const int at_column = (task.first_head + head) * dim;

  const Rows kv(task, head, dim, lane);
  const Half* query = rows.q + at_row * rows.q_stride + at_column;
  const float scale = rsqrtf(static_cast<float>(dim)) * kLog2e;
  Eight q;
#pragma unroll
  for (int v = 0; v < 8; ++v) q.at[v] = kv.column(v) < 0 ? 0 : to_float(query[kv.column(v)]) * scale;
  const Running running = attend<kLanes>(kv, min(split * part, context), min((split + 1) * part, context), q);

  if (lane == 0) {
    most[group] = running.most;
    total[group] = running.total;
  }
#pragma unroll
  for (int v = 0; v < 8; ++v)
    if (kv.column(v) >= 0) sums[group][kv.column(v)] = running.sums.at[v];
  __syncthreads();
  float block_most = kLeast, block_total = 0;
  for (int g = 0; g < kGroups; ++g) block_most = fmaxf(block_most, most[g]);
  for (int g = 0; g < kGroups; ++g) block_total += total[g] * exp2f(most[g] - block_most);
  float* partial = splits > 1 ? partial_at(partials, dim + 2, split, splits) : nullptr;
  for (int i = threadIdx.x; i < dim; i += kThreads) {
    float sum = 0;
    for (int g = 0; g < kGroups; ++g) sum += sums[g][i] * exp2f(most[g] - block_most);
    if (partial)
      partial[2 + i] = sum;
    else
      rows.out[at_row * rows.out_stride + at_column + i] = to_half(sum / block_total);
  }
  if (partial && threadIdx.x == 0) {
    partial[0] = block_most;
    partial[1] = block_total;
  }
}

// Groups just wide enough for a head.
template <class Rows>
RowKernel row_kernel_for(std::int64_t dim) {
  if (dim <= 8) return attend_rows<1, Rows>;
  if (dim <= 16) return attend_rows<2, Rows>;
  if (dim <= 32) return attend_rows<4, Rows>;
  if (dim <= 64) return attend_rows<8, Rows>;
  if (dim <= 128) return attend_rows<16, Rows>;
  return attend_rows<32, Rows>;
}

}  // namespace optpipe::kernels::cuda
