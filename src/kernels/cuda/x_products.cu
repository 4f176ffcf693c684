#include <cmath>

#include "kernels/cuda/product_tiles.cuh"
#include "kernels/cuda/status.hpp"
#include "kernels/cuda/x_launches.hpp"

namespace optpipe::kernels::cuda {
namespace {

// Of the heads of all rows, a product each.
struct OfHeads {
  int first, heads, dim, h, rows;
  PiecedRows weight;  // of the heads alone
};
OfHeads of_heads(const XAttention& a, const HeadRange& range) {
  return {range.first,
          static_cast<int>(a.heads),
          static_cast<int>(a.head_dim),
          static_cast<int>(a.heads * a.head_dim),
          static_cast<int>(a.rows),
          pieced(range.weight)};
}

struct Absorb {
  OfHeads of;
  const Half* q;
  Half* absorbed;
  float scale;

  __device__ Operands<Half> operands(int product) const {
    const int head = of.first + product;
    return {q + head * of.dim,
            of.h,
            of.weight,
            product * of.dim,
            of.rows,
            of.h,
            of.dim,
            absorbed + std::int64_t{head} * of.h,
            std::int64_t{of.heads} * of.h};
  }
  __device__ Half result(float sum, int, int) const { return to_half(sum * scale); }
};

struct Project {
  OfHeads of;
  const Half* absorbed;
  const Half* bias;
  Half* out;

  __device__ Operands<Half> operands(int product) const {
    const int head = of.first + product;
    return {absorbed + std::int64_t{head} * of.h,
            std::int64_t{of.heads} * of.h,
            of.weight,
            product * of.dim,
            of.rows,
            of.dim,
            of.h,
            out + head * of.dim,
            of.h};
  }
  __device__ Half result(float sum, int product, int n) const {
    return to_half(bias ? sum + to_float(bias[(of.first + product) * of.dim + n]) : sum);
  }
};

// Of the tasks, a product each over their own contexts.
struct OfTasks {
  const KvTask* tasks;
  int heads, h;
  std::int64_t stride;  // of a head's scores
};
OfTasks of_tasks(const KvBatch& batch, const XAttention& a) {
  return {batch.tasks, static_cast<int>(a.heads), static_cast<int>(a.heads * a.head_dim), a.score_stride};
}

struct Scores {
  OfTasks of;
  const Half* absorbed;
  float* scores;

  __device__ Operands<float> operands(int product) const {
    const KvTask task = of.tasks[product];
    const std::int64_t head = std::int64_t{task.first_row} * of.heads;
    return {
        absorbed + head * of.h,    of.h, one_piece(task.keys, of.h), 0,        task.rows > 0 ? of.heads : 0,
        task.position + task.rows, of.h, scores + head * of.stride,  of.stride};
  }
  __device__ float result(float sum, int, int) const { return sum; }
};

struct WeightedSums {
  OfTasks of;
  const Half* weights;
  Half* sums;

  __device__ Operands<Half> operands(int product) const {
    const KvTask task = of.tasks[product];
    const std::int64_t head = std::int64_t{task.first_row} * of.heads;
    return {weights + head * of.stride,
            of.stride,
            one_piece(task.keys, of.h),
            0,
            task.rows > 0 ? of.heads : 0,
            of.h,
            task.position + task.rows,
            sums + head * of.h,
            of.h};
  }
  __device__ Half result(float sum, int, int) const { return to_half(sum); }
};

unsigned tiles(std::int64_t count, int tile) { return static_cast<unsigned>((count + tile - 1) / tile); }

template <bool kTransposed, bool kWide, class Source>
void launch(const Source& source, const dim3& grid, Stream stream) {
  constexpr int kBytes = ProductShape<kTransposed, kWide>::kSharedBytes;
  const auto kernel = multiply_tiles<Source, kTransposed, kWide>;
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes),
        "cudaFuncSetAttribute");
  kernel<<<grid, kProductThreads, kBytes, stream>>>(source);
  check_launch("multiply_tiles");
}

// `products` of at most m x n results.
template <bool kTransposed, class Source>
void launch(const Source& source, std::int64_t products, std::int64_t m, std::int64_t n, bool wide,
            Stream stream) {
  const dim3 grid(tiles(n, kTileN), tiles(m, kTileM), static_cast<unsigned>(products));
  if (wide)
    launch<kTransposed, true>(source, grid, stream);
  else
    launch<kTransposed, false>(source, grid, stream);
}

}  // namespace

void launch_absorb(const XAttention& a, const HeadRange& heads, bool wide, Stream stream) {
  constexpr float kLog2e = 1.44269504f;
  const float scale = kLog2e / std::sqrt(static_cast<float>(a.head_dim));
  launch<true>(Absorb{of_heads(a, heads), a.q, a.absorbed, scale}, heads.count, a.rows, a.heads * a.head_dim,
               wide, stream);
}

void launch_project(const XAttention& a, const HeadRange& heads, bool wide, Stream stream) {
  launch<false>(Project{of_heads(a, heads), a.absorbed, a.v_bias, a.out}, heads.count, a.rows, a.head_dim,
                wide, stream);
}

void launch_scores(const KvBatch& batch, const XAttention& a, bool wide, Stream stream) {
  launch<false>(Scores{of_tasks(batch, a), a.absorbed, a.scores}, batch.count, a.heads, batch.most_context,
                wide, stream);
}

void launch_sums(const KvBatch& batch, const XAttention& a, bool wide, Stream stream) {
  launch<true>(WeightedSums{of_tasks(batch, a), a.weights, a.absorbed}, batch.count, a.heads,
               a.heads * a.head_dim, wide, stream);
}

}  // namespace optpipe::kernels::cuda
