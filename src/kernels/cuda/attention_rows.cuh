// Attention of one query a block, at the speed of memory: a row of keys (and of values) is read by a group of
// lanes, eight values each, groups take positions in turn, and each keeps a running softmax of its own.
//
// A context is cut into parts of kPart positions. Each group adds up a part from nothing, then joins it to
// those before; groups are merged at the end. Where tasks and heads are too few to fill the GPU, several
// blocks share a context, each leaves what its groups found in its parts, and merge_parts joins that in the
// same order: how many blocks share a context changes no bit, so a row's result depends on nothing beside it.
#pragma once

#include <cfloat>

#include "kernels/cuda/kv_rows.cuh"
#include "kernels/cuda/launches.hpp"

namespace optpipe::kernels::cuda {

constexpr int kThreads = 128;
constexpr int kUnroll = 8;  // positions of a group in flight
constexpr int kPart = kContextPart;
constexpr float kLog2e = 1.44269504f;
constexpr float kLeast = -FLT_MAX;  // a maximum of nothing, without the NaN of ∞ - ∞

inline __device__ float* partial_at(const Partials& p, int part, int group) {
  const std::int64_t row = std::int64_t{blockIdx.z} * gridDim.x + blockIdx.x;
  return p.data + ((row * p.parts + part) * p.groups + group) * (p.dim + 2);
}

// How two sums relative to different scores become one.
struct Joint {
  float most, fade, weight;

  __device__ Joint(float before, float next)
      : most(fmaxf(before, next)), fade(exp2f(before - most)), weight(exp2f(next - most)) {}
  __device__ float of(float before, float next) const {
    return __fmaf_rn(next, weight, __fmul_rn(before, fade));
  }
};

// A softmax on the way: scores are in units of log 2, sums relative to the largest so far.
struct Running {
  float most = kLeast, total = 0;
  Eight sums{};

  // What comes behind. The same operations as in merge_parts, to the bit.
  __device__ void join(const Running& next) {
    const Joint joint(most, next.most);
    most = joint.most;
    total = joint.of(total, next.total);
#pragma unroll
    for (int i = 0; i < 8; ++i) sums.at[i] = joint.of(sums.at[i], next.sums.at[i]);
  }

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

// The groups of a block as one: `most` and `total` [groups], `sums` [group][column].
template <int kGroups, class Sums>
__device__ void write_merged(const float* most, const float* total, const Sums& sums, int dim, Half* out) {
  float block_most = kLeast, block_total = 0;
  for (int g = 0; g < kGroups; ++g) block_most = fmaxf(block_most, most[g]);
  for (int g = 0; g < kGroups; ++g)
    block_total = __fmaf_rn(total[g], exp2f(most[g] - block_most), block_total);
  for (int i = threadIdx.x; i < dim; i += blockDim.x) {
    float sum = 0;
    for (int g = 0; g < kGroups; ++g) sum = __fmaf_rn(sums[g][i], exp2f(most[g] - block_most), sum);
    out[i] = to_half(sum / block_total);
  }
}

// splits == 0: rows of a prompt, a block each; else one row, whose parts `splits` blocks take in turn.
template <int kLanes, class Rows>
__global__ void attend_rows(const KvTask* tasks, int dim, AttentionRows rows, int splits, Partials partials) {
  constexpr int kGroups = kThreads / kLanes;
  __shared__ float most[kGroups], total[kGroups], sums[kGroups][kLanes * 8];
  const KvTask task = tasks[blockIdx.z];
  const int head = blockIdx.x, row = splits > 0 ? 0 : blockIdx.y, split = splits > 0 ? blockIdx.y : 0;
  if (head >= task.heads || row >= task.rows) return;
  const int context = task.position + row + 1;
  const int lane = threadIdx.x % kLanes, group = threadIdx.x / kLanes;
  const std::int64_t at_row = std::int64_t{task.first_row} + row;
  const int at_column = (task.first_head + head) * dim;

  const Rows kv(task, head, dim, lane);
  const Half* query = rows.q + at_row * rows.q_stride + at_column;
  const float scale = rsqrtf(static_cast<float>(dim)) * kLog2e;
  Eight q;
#pragma unroll
  for (int v = 0; v < 8; ++v) q.at[v] = kv.column(v) < 0 ? 0 : to_float(query[kv.column(v)]) * scale;
  Running running;
  for (int part = split; part * kPart < context; part += max(splits, 1)) {
    const Running own = attend<kLanes>(kv, part * kPart, min((part + 1) * kPart, context), q);
    if (splits <= 1) {
      running.join(own);
      continue;
    }
    float* to = partial_at(partials, part, group);
    if (lane == 0) {
      to[0] = own.most;
      to[1] = own.total;
    }
#pragma unroll
    for (int v = 0; v < 8; ++v)
      if (kv.column(v) >= 0) to[2 + kv.column(v)] = own.sums.at[v];
  }
  if (splits > 1) return;
  if (lane == 0) {
    most[group] = running.most;
    total[group] = running.total;
  }
#pragma unroll
  for (int v = 0; v < 8; ++v)
    if (kv.column(v) >= 0) sums[group][kv.column(v)] = running.sums.at[v];
  __syncthreads();
  write_merged<kGroups>(most, total, sums, dim, rows.out + at_row * rows.out_stride + at_column);
}

// Joins the parts of each group in order, then merges the groups.
template <int kLanes>
__global__ void merge_parts(const KvTask* tasks, AttentionRows rows, Partials partials) {
  constexpr int kGroups = kThreads / kLanes;
  __shared__ float most[kGroups], total[kGroups], sums[kGroups][kLanes * 8];
  const KvTask task = tasks[blockIdx.z];
  if (static_cast<int>(blockIdx.x) >= task.heads || task.rows == 0) return;
  const int parts = (task.position + kPart) / kPart, dim = partials.dim;
  const int lane = threadIdx.x % kLanes, group = threadIdx.x / kLanes;
  Running running;
  for (int part = 0; part < parts; ++part) {
    const float* from = partial_at(partials, part, group);
    Running next{from[0], from[1], {}};
#pragma unroll
    for (int v = 0; v < 8; ++v) next.sums.at[v] = lane * 8 + v < dim ? from[2 + lane * 8 + v] : 0;
    running.join(next);
  }
  if (lane == 0) {
    most[group] = running.most;
    total[group] = running.total;
  }
#pragma unroll
  for (int v = 0; v < 8; ++v) sums[group][lane * 8 + v] = running.sums.at[v];
  __syncthreads();
  write_merged<kGroups>(most, total, sums, dim,
                        rows.out + task.first_row * rows.out_stride + (task.first_head + blockIdx.x) * dim);
}

// Of a head's group.
template <int kLanes, class Rows>
RowKernels row_kernels() {
  return {attend_rows<kLanes, Rows>, merge_parts<kLanes>, kThreads / kLanes};
}

// Groups just wide enough for a head.
template <class Rows>
RowKernels row_kernels_for(std::int64_t dim) {
  if (dim <= 8) return row_kernels<1, Rows>();
  if (dim <= 16) return row_kernels<2, Rows>();
  if (dim <= 32) return row_kernels<4, Rows>();
  if (dim <= 64) return row_kernels<8, Rows>();
  if (dim <= 128) return row_kernels<16, Rows>();
  return row_kernels<32, Rows>();
}

}  // namespace optpipe::kernels::cuda
