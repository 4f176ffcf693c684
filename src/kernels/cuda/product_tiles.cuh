// Many products of matrices of any size on the tensor cores, a tile of 64 x 128 results a block: what
// attention over X consists of, where the library would need a call for each sequence. An element's sum has
// one order, whatever the number of rows and products.
#pragma once

#include "kernels/cuda/mma.cuh"
#include "kernels/cuda/vectors.cuh"
#include "optpipe/kernels/cuda.hpp"

namespace optpipe::kernels::cuda {

constexpr int kTileM = 64, kTileN = 128, kTileK = 64;
constexpr int kProductThreads = 256;  // 2 x 4 warps of 32 x 32 results

// Rows of halves in up to three pieces (those of a weight).
struct PiecedRows {
  const Half* data[3];
  int end[2];  // rows before the second and the third piece
  std::int64_t stride;

  __device__ const Half* row(int i) const {
    if (i < end[0]) return data[0] + i * stride;
    if (i < end[1]) return data[1] + (i - end[0]) * stride;
    return data[2] + (i - end[1]) * stride;
  }
};
inline PiecedRows pieced(const Matrix& matrix) {
  const auto rows = [&](std::size_t i) { return static_cast<int>(matrix.pieces[i].rows); };
  return {{matrix.pieces[0].data, matrix.pieces[1].data, matrix.pieces[2].data},
          {rows(0), rows(0) + rows(1)},
          matrix.columns};
}
inline __device__ PiecedRows one_piece(const Half* data, std::int64_t stride) {
  constexpr int kAll = 1 << 30;
  return {{data, data, data}, {kAll, kAll}, stride};
}

// out[m, n] = a [m, k] · b: b is [n, k], or (kTransposed) [k, n], whose rows begin at `first_row` of its
// pieces.
template <class Out>
struct Operands {
  const Half* a;
  std::int64_t a_stride;
  PiecedRows b;
  int first_row;
  int m, n, k;
  Out* out;
  std::int64_t out_stride;
};

template <bool kTransposed, bool kWide>
struct ProductShape {
  static constexpr int kStages = kWide ? 3 : 2;
  static constexpr int kPitchA = kTileK + 8;  // an odd number of 16-byte units: rows start in different banks
  static constexpr int kRowsB = kTransposed ? kTileK : kTileN, kColumnsB = kTransposed ? kTileN : kTileK;
  static constexpr int kPitchB = kColumnsB + 8;
  static constexpr int kStage = kTileM * kPitchA + kRowsB * kPitchB;
  static constexpr int kSharedBytes = kStages * kStage * static_cast<int>(sizeof(Half));
};

// Eight halves at `column` of a row, of which those before `limit` exist, to shared memory. Wide: all eight
// do, or none.
template <bool kWide>
__device__ void copy_eight(Half* to, const Half* row, int column, int limit) {
  if constexpr (kWide)
    copy_sixteen(to, row + (column < limit ? column : 0), column < limit);
  else
    *reinterpret_cast<uint4*>(to) = load_eight<false>(row + column, max(0, min(8, limit - column)));
}

template <bool kTransposed, bool kWide, class Out>
__device__ void copy_stage(Half* shared, const Operands<Out>& of, int first_m, int first_n, int first_k) {
  using Shape = ProductShape<kTransposed, kWide>;
  constexpr int kUnitsA = kTileK / 8, kUnitsB = Shape::kColumnsB / 8;
  for (int i = threadIdx.x; i < kTileM * kUnitsA; i += kProductThreads) {
    const int row = i / kUnitsA, column = i % kUnitsA * 8, m = first_m + row;
    copy_eight<kWide>(shared + row * Shape::kPitchA + column, of.a + (m < of.m ? m : 0) * of.a_stride,
                      first_k + column, m < of.m ? of.k : 0);
  }
  Half* b = shared + kTileM * Shape::kPitchA;
  const int first = kTransposed ? first_k : first_n, rows = kTransposed ? of.k : of.n;
  const int first_column = kTransposed ? first_n : first_k, columns = kTransposed ? of.n : of.k;
  for (int i = threadIdx.x; i < Shape::kRowsB * kUnitsB; i += kProductThreads) {
    const int row = i / kUnitsB, column = i % kUnitsB * 8;
    const bool exists = first + row < rows;
    copy_eight<kWide>(b + row * Shape::kPitchB + column, of.b.row(of.first_row + (exists ? first + row : 0)),
                      first_column + column, exists ? columns : 0);
  }
}

// A warp's 32 x 32 results: lane 4g + t holds, of tile (i, j), rows g and g + 8, columns 2t and 2t + 1.
using Sums = float (&)[2][4][4];

template <bool kTransposed, bool kWide>
__device__ void multiply_stage(Sums sums, const Half* shared, int warp_m, int warp_n) {
  using Shape = ProductShape<kTransposed, kWide>;
  const int lane = threadIdx.x % 32;
  const std::uint32_t a = shared_address(shared + (warp_m + lane % 16) * Shape::kPitchA + lane / 16 * 8);
  const Half* tile = shared + kTileM * Shape::kPitchA;
  const std::uint32_t b =
      kTransposed
          ? shared_address(tile + lane % 16 * Shape::kPitchB + warp_n + lane / 16 * 8)
          : shared_address(tile + (warp_n + lane / 16 * 8 + lane % 8) * Shape::kPitchB + lane / 8 % 2 * 8);
#pragma unroll
  for (int k = 0; k < kTileK; k += 16) {
    std::uint32_t as[2][4];
#pragma unroll
    for (int i = 0; i < 2; ++i) load_tiles(as[i], a + 2 * (16 * i * Shape::kPitchA + k));
#pragma unroll
    for (int j = 0; j < 4; j += 2) {
      std::uint32_t bs[4];
      if constexpr (kTransposed)
        load_transposed(bs, b + 2 * (k * Shape::kPitchB + 8 * j));
      else
        load_tiles(bs, b + 2 * (8 * j * Shape::kPitchB + k));
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        multiply_add(sums[i][j], as[i], bs[0], bs[1]);
        multiply_add(sums[i][j + 1], as[i], bs[2], bs[3]);
      }
    }
  }
}

// `Source` says what product blockIdx.z is (operands) and what a sum becomes (result).
template <class Source, bool kTransposed, bool kWide>
__global__ void __launch_bounds__(kProductThreads, 2) multiply_tiles(Source source) {
  using Shape = ProductShape<kTransposed, kWide>;
  extern __shared__ __align__(16) Half shared[];
  const auto of = source.operands(static_cast<int>(blockIdx.z));
  const int first_m = blockIdx.y * kTileM, first_n = blockIdx.x * kTileN;
  if (first_m >= of.m || first_n >= of.n) return;
  const int warp = threadIdx.x / 32, warp_m = warp % 2 * 32, warp_n = warp / 2 * 32;
  const int steps = (of.k + kTileK - 1) / kTileK;
  const auto copy = [&](int step) {
    if (step < steps)
      copy_stage<kTransposed, kWide>(shared + step % Shape::kStages * Shape::kStage, of, first_m, first_n,
                                     step * kTileK);
    end_copy_group();
  };
  for (int step = 0; step + 1 < Shape::kStages; ++step) copy(step);
  float sums[2][4][4] = {};
  for (int step = 0; step < steps; ++step) {
    wait_for_copies<Shape::kStages - 2>();
    __syncthreads();  // the step's tiles are there, and those of the step before are done with
    copy(step + Shape::kStages - 1);
    multiply_stage<kTransposed, kWide>(sums, shared + step % Shape::kStages * Shape::kStage, warp_m, warp_n);
  }
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int i = 0; i < 2; ++i)
#pragma unroll
    for (int j = 0; j < 4; ++j)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int m = first_m + warp_m + 16 * i + 8 * half + lane / 4;
        const int n = first_n + warp_n + 8 * j + lane % 4 * 2;
        if (m >= of.m) continue;
        for (int c = 0; c < 2; ++c)
          if (n + c < of.n)
            of.out[m * of.out_stride + n + c] =
                source.result(sums[i][j][2 * half + c], static_cast<int>(blockIdx.z), n + c);
      }
}

}  // namespace optpipe::kernels::cuda
