// Attention of one query a block, at the speed of memory: a row of keys (and of values) is read by a group of
// lanes, 16 bytes each, groups take positions in turn, and each keeps a running softmax of its own. They are
// merged at the end, and so are the parts of a context that several blocks share.
#include <cfloat>

#include "kernels/cuda/launches.hpp"
#include "kernels/cuda/status.hpp"
#include "kernels/cuda/vectors.cuh"

namespace optpipe::kernels::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kUnroll = 8;  // positions of a group in flight
constexpr float kLog2e = 1.44269504f;
constexpr float kLeast = -FLT_MAX;  // a maximum of nothing, without the NaN of ∞ - ∞

// A softmax on the way: scores are in units of log 2, sums relative to the largest so far.
struct Running {
  float most = kLeast, total = 0;
  Eight sums{};

  __device__ void add(const float (&scores)[kUnroll], const uint4 (&values)[kUnroll]) {
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
      const Eight value = unpack(values[u]);
      total += weight;
#pragma unroll
      for (int i = 0; i < 8; ++i) sums.at[i] += weight * value.at[i];
    }
  }
};

// Positions [begin, end) of one head of a segment.
struct Span {
  const Half *keys, *values;  // of the head at position 0
  std::int64_t stride;
  int begin, end, dim;
};

template <int kLanes, bool kWide>
__device__ Running attend(const Span& span, const Eight& q) {
  constexpr int kGroups = kThreads / kLanes;
  const int group = threadIdx.x / kLanes, column = threadIdx.x % kLanes * 8;
  Running running;
  for (int base = span.begin + group; base - group < span.end; base += kGroups * kUnroll) {
    uint4 keys[kUnroll], values[kUnroll];
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      const int position = base + u * kGroups;
      const int count = position < span.end ? span.dim - column : 0;
      keys[u] = load_eight<kWide>(span.keys + position * span.stride + column, count);
      values[u] = load_eight<kWide>(span.values + position * span.stride + column, count);
    }
    float scores[kUnroll];
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      const Eight key = unpack(keys[u]);
      float score = 0;
#pragma unroll
      for (int i = 0; i < 8; ++i) score += q.at[i] * key.at[i];
#pragma unroll
      for (int offset = kLanes / 2; offset > 0; offset /= 2)
        score += __shfl_xor_sync(0xffffffffu, score, offset);
      scores[u] = base + u * kGroups < span.end ? score : -INFINITY;
    }
    running.add(scores, values);
  }
  return running;
}

// Where a block's result goes: partial[0] = largest score, [1] = total, [2 ...] = sums.
__device__ float* partial_at(float* partials, int pitch, int split, int splits) {
  const std::int64_t row = std::int64_t{blockIdx.z} * gridDim.x + blockIdx.x;
  return partials + (row * splits + split) * pitch;
}

template <int kLanes, bool kWide>
__global__ void attend_rows(const KvTask* tasks, int dim, AttentionRows rows, int splits, float* partials) {
  constexpr int kGroups = kThreads / kLanes;
  __shared__ float most[kGroups], total[kGroups], sums[kGroups][kLanes * 8];
  const KvTask task = tasks[blockIdx.z];
  const int head = blockIdx.x, row = splits > 0 ? 0 : blockIdx.y, split = splits > 0 ? blockIdx.y : 0;
  if (head >= task.heads || row >= task.rows) return;
  const int context = task.position + row + 1;
  const int part = splits > 1 ? (context + splits - 1) / splits : context;
  const int column = threadIdx.x % kLanes * 8, group = threadIdx.x / kLanes;
  const std::int64_t at_row = std::int64_t{task.first_row} + row;
  const int at_column = (task.first_head + head) * dim;

  Eight q = unpack(load_eight<kWide>(rows.q + at_row * rows.q_stride + at_column + column, dim - column));
  const float scale = rsqrtf(static_cast<float>(dim)) * kLog2e;
#pragma unroll
  for (float& value : q.at) value *= scale;
  const Span span{task.keys + head * dim,           task.values + head * dim,
                  std::int64_t{task.heads} * dim,   min(split * part, context),
                  min((split + 1) * part, context), dim};
  const Running running = attend<kLanes, kWide>(span, q);

  if (column == 0) {
    most[group] = running.most;
    total[group] = running.total;
  }
#pragma unroll
  for (int i = 0; i < 8; ++i) sums[group][column + i] = running.sums.at[i];
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

__global__ void merge_parts(const KvTask* tasks, int dim, AttentionRows rows, int splits, float* partials) {
  const KvTask task = tasks[blockIdx.z];
  if (static_cast<int>(blockIdx.x) >= task.heads || task.rows == 0) return;
  const int pitch = dim + 2;
  const float* parts = partial_at(partials, pitch, 0, splits);
  float most = kLeast, total = 0;
  for (int s = 0; s < splits; ++s) most = fmaxf(most, parts[s * pitch]);
  for (int s = 0; s < splits; ++s) total += parts[s * pitch + 1] * exp2f(parts[s * pitch] - most);
  const std::int64_t at = task.first_row * rows.out_stride + (task.first_head + blockIdx.x) * dim;
  for (int i = threadIdx.x; i < dim; i += blockDim.x) {
    float sum = 0;
    for (int s = 0; s < splits; ++s) sum += parts[s * pitch + 2 + i] * exp2f(parts[s * pitch] - most);
    rows.out[at + i] = to_half(sum / total);
  }
}

using Kernel = void (*)(const KvTask*, int, AttentionRows, int, float*);

template <bool kWide>
Kernel kernel_for(std::int64_t dim) {
  if (dim <= 8) return attend_rows<1, kWide>;
  if (dim <= 16) return attend_rows<2, kWide>;
  if (dim <= 32) return attend_rows<4, kWide>;
  if (dim <= 64) return attend_rows<8, kWide>;
  if (dim <= 128) return attend_rows<16, kWide>;
  return attend_rows<32, kWide>;
}

}  // namespace

std::int64_t partial_floats(const KvBatch& batch, std::int64_t head_dim, int splits) {
  return std::int64_t{batch.count} * batch.most_heads * splits * (head_dim + 2);
}

void launch_row_attention(const RowAttention& a, Stream stream) {
  const auto heads = static_cast<unsigned>(a.batch.most_heads), tasks = static_cast<unsigned>(a.batch.count);
  const auto dim = static_cast<int>(a.head_dim);
  const dim3 grid(heads, static_cast<unsigned>(a.splits > 0 ? a.splits : a.batch.most_rows), tasks);
  const Kernel kernel = a.wide ? kernel_for<true>(dim) : kernel_for<false>(dim);
  kernel<<<grid, kThreads, 0, stream>>>(a.batch.tasks, dim, a.rows, a.splits, a.partials);
  check_launch("attend_rows");
  if (a.splits <= 1) return;
  merge_parts<<<dim3(heads, 1, tasks), 64, 0, stream>>>(a.batch.tasks, dim, a.rows, a.splits, a.partials);
  check_launch("merge_parts");
}

}  // namespace optpipe::kernels::cuda
