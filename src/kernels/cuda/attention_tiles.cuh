// Attention of tiles of queries on the tensor cores with a running softmax (FlashAttention-2's order): scores
// stay in registers. A warp owns 16 · kTiles queries; keys and values pass through shared memory, kKeys
// positions at a time, the next ones on the way while these are used (kStages == 2).
#pragma once

#include "kernels/cuda/mma.cuh"
#include "kernels/cuda/vectors.cuh"
#include "optpipe/kernels/cuda.hpp"

namespace optpipe::kernels::cuda {

template <int kDim_, int kWarps_, int kTiles_, int kKeys_, int kStages_>
struct TileShape {
  static constexpr int kDim = kDim_;      // of a head, padded to a multiple of 16
  static constexpr int kWarps = kWarps_;  // of a block
  static constexpr int kTiles = kTiles_;  // of 16 queries a warp
  static constexpr int kKeys = kKeys_;    // positions at a time
  static constexpr int kStages = kStages_;
  static constexpr int kThreads = 32 * kWarps;
  static constexpr int kQueries = 16 * kTiles * kWarps;
  static constexpr int kPitch = kDim + 8;  // an odd number of 16-byte units: rows start in different banks
  static constexpr int kSharedBytes = 2 * kPitch * (kQueries + 2 * kStages * kKeys);
};

// Rows of halves in device memory.
struct RowsView {
  const Half* data;
  std::int64_t stride;
  int rows;  // that exist; those behind are zeros
};

template <class Shape, int kRows>
__device__ void copy_rows(Half* to, const RowsView& from, int dim) {
  constexpr int kUnits = Shape::kDim / 8;
  for (int i = threadIdx.x; i < kRows * kUnits; i += Shape::kThreads) {
    const int row = i / kUnits, column = i % kUnits * 8;
    const bool exists = row < from.rows && column < dim;
    copy_sixteen(to + row * Shape::kPitch + column,
                 exists ? from.data + row * from.stride + column : from.data, exists);
  }
}

// One warp's queries. Lane 4g + t holds, of tile i, queries g and g + 8.
template <class Shape>
class TileAttention {
 public:
  // `queries`: this warp's rows in shared memory; `first`: position of the first of them.
  __device__ TileAttention(const Half* queries, int first, float scale)
      : queries_(queries), first_(first), scale_(scale) {
#pragma unroll
    for (int i = 0; i < Shape::kTiles; ++i) most_[i][0] = most_[i][1] = -INFINITY;
  }

  // Keys and values (shared memory) of positions begin .. begin + kKeys - 1.
  __device__ void attend(const Half* keys, const Half* values, int begin) {
    if (begin > first_ + 16 * Shape::kTiles - 1) return;  // all behind these queries
    float scores[Shape::kTiles][kColumns][4] = {};
    multiply_keys(scores, keys);
    if (begin + Shape::kKeys - 1 > first_) mask(scores, begin);
#pragma unroll
    for (int i = 0; i < Shape::kTiles; ++i) soften(scores[i], i);
    multiply_values(scores, values);
  }

  // Results to `to`, this warp's rows in shared memory.
  __device__ void store(Half* to) {
#pragma unroll
    for (int i = 0; i < Shape::kTiles; ++i) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        float total = totals_[i][half];
        total += __shfl_xor_sync(0xffffffffu, total, 1);
        total += __shfl_xor_sync(0xffffffffu, total, 2);
        const float inverse = 1 / total;
        Half* row = to + (16 * i + 8 * half + lane() / 4) * Shape::kPitch + lane() % 4 * 2;
#pragma unroll
        for (int n = 0; n < Shape::kDim / 8; ++n)
          *reinterpret_cast<std::uint32_t*>(row + 8 * n) =
              pack(sums_[i][n][2 * half] * inverse, sums_[i][n][2 * half + 1] * inverse);
      }
    }
  }

 private:
  static constexpr int kColumns = Shape::kKeys / 8;
  using Scores = float (&)[Shape::kTiles][kColumns][4];

  static __device__ int lane() { return threadIdx.x % 32; }

  __device__ void multiply_keys(Scores scores, const Half* keys) const {
    const int query_row = lane() % 16, query_column = lane() / 16 * 8;
    const int key_row = lane() / 16 * 8 + lane() % 8, key_column = lane() / 8 % 2 * 8;
    const std::uint32_t query = shared_address(queries_ + query_row * Shape::kPitch + query_column);
    const std::uint32_t key = shared_address(keys + key_row * Shape::kPitch + key_column);
#pragma unroll
    for (int d = 0; d < Shape::kDim; d += 16) {
      std::uint32_t a[Shape::kTiles][4];
#pragma unroll
      for (int i = 0; i < Shape::kTiles; ++i) load_tiles(a[i], query + 2 * (16 * i * Shape::kPitch + d));
#pragma unroll
      for (int n = 0; n < kColumns; n += 2) {
        std::uint32_t b[4];
        load_tiles(b, key + 2 * (8 * n * Shape::kPitch + d));
#pragma unroll
        for (int i = 0; i < Shape::kTiles; ++i) {
          multiply_add(scores[i][n], a[i], b[0], b[1]);
          multiply_add(scores[i][n + 1], a[i], b[2], b[3]);
        }
      }
    }
  }

  __device__ void mask(Scores scores, int begin) const {
#pragma unroll
    for (int i = 0; i < Shape::kTiles; ++i)
#pragma unroll
      for (int n = 0; n < kColumns; ++n)
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          const int query = first_ + 16 * i + lane() / 4 + j / 2 * 8;
          const int position = begin + 8 * n + lane() % 4 * 2 + j % 2;
          if (position > query) scores[i][n][j] = -INFINITY;
        }
  }

  // Scores of tile i become weights relative to the largest score so far; older sums fade accordingly.
  __device__ void soften(float (&scores)[kColumns][4], int i) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float most = most_[i][half];
#pragma unroll
      for (int n = 0; n < kColumns; ++n)
        most = fmaxf(most, fmaxf(scores[n][2 * half], scores[n][2 * half + 1]));
      most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 1));
      most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 2));
      const float fade = fast_exp2((most_[i][half] - most) * scale_);
      most_[i][half] = most;
      const float offset = most * scale_;
      float total = 0;
#pragma unroll
      for (int n = 0; n < kColumns; ++n)
#pragma unroll
        for (int j = 2 * half; j < 2 * half + 2; ++j) {
          scores[n][j] = fast_exp2(scores[n][j] * scale_ - offset);
          total += scores[n][j];
        }
      totals_[i][half] = totals_[i][half] * fade + total;
#pragma unroll
      for (int n = 0; n < Shape::kDim / 8; ++n) {
        sums_[i][n][2 * half] *= fade;
        sums_[i][n][2 * half + 1] *= fade;
      }
    }
  }

  __device__ void multiply_values(Scores weights, const Half* values) {
    const std::uint32_t value = shared_address(values + lane() % 16 * Shape::kPitch + lane() / 16 * 8);
#pragma unroll
    for (int k = 0; k < Shape::kKeys / 16; ++k) {
      std::uint32_t a[Shape::kTiles][4];
#pragma unroll
      for (int i = 0; i < Shape::kTiles; ++i)
#pragma unroll
        for (int j = 0; j < 4; ++j)
          a[i][j] = pack(weights[i][2 * k + j / 2][j % 2 * 2], weights[i][2 * k + j / 2][j % 2 * 2 + 1]);
#pragma unroll
      for (int n = 0; n < Shape::kDim / 8; n += 2) {
        std::uint32_t b[4];
        load_transposed(b, value + 2 * (16 * k * Shape::kPitch + 8 * n));
#pragma unroll
        for (int i = 0; i < Shape::kTiles; ++i) {
          multiply_add(sums_[i][n], a[i], b[0], b[1]);
          multiply_add(sums_[i][n + 1], a[i], b[2], b[3]);
        }
      }
    }
  }

  const Half* queries_;
  int first_;
  float scale_;  // of scores, in units of log 2
  float sums_[Shape::kTiles][Shape::kDim / 8][4] = {};
  float totals_[Shape::kTiles][2] = {};  // this lane's share
  float most_[Shape::kTiles][2];
};

}  // namespace optpipe::kernels::cuda
