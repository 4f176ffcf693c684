#include "kernels/cuda/launches.hpp"
#include "kernels/cuda/status.hpp"
#include "kernels/cuda/vectors.cuh"

namespace optpipe::kernels::cuda {
namespace {

constexpr int kThreads = 128;

// Null where there is no such row.
__device__ const Half* find_row(const Matrix& table, std::int64_t row) {
  if (row < 0) return nullptr;
  for (int i = 0; i < 3; ++i) {
    const Piece& piece = table.pieces.data()[i];
    if (row < piece.rows) return piece.data + row * table.columns;
    row -= piece.rows;
  }
  return nullptr;
}

template <bool kWide>
__device__ void add(Eight& sums, const Half* from, int count) {
  const Eight values = unpack(load_eight<kWide>(from, count));
#pragma unroll
  for (int i = 0; i < 8; ++i) sums.at[i] += values.at[i];
}

template <bool kWide>
__global__ void embed_rows(Lookup tokens, Lookup positions, std::int64_t h, bool accumulate, Half* out) {
  const std::int64_t row = blockIdx.x;
  const Half* token = tokens.ids ? find_row(tokens.table, tokens.ids[row]) : nullptr;
  const Half* position = positions.ids ? find_row(positions.table, positions.ids[row]) : nullptr;
  const bool missing = (tokens.ids && !token) || (positions.ids && !position);
  for (std::int64_t i = threadIdx.x * 8; i < h; i += kThreads * 8) {
    const int count = static_cast<int>(min(h - i, std::int64_t{8}));
    Half* to = out + row * h + i;
    Eight sums;
#pragma unroll
    for (int j = 0; j < 8; ++j) sums.at[j] = missing ? __int_as_float(0x7fffffff) : 0;
    if (token) add<kWide>(sums, token + i, count);
    if (position) add<kWide>(sums, position + i, count);
    if (accumulate) add<kWide>(sums, to, count);
    store_eight<kWide>(to, sums, count);
  }
}

bool is_wide_table(const Matrix& table) {
  for (const Piece& piece : table.pieces)
    if (!is_wide(piece.data)) return false;
  return true;
}

}  // namespace

void launch_embed(const Lookup& tokens, const Lookup& positions, std::int64_t rows, std::int64_t h,
                  bool accumulate, Half* out, Stream stream) {
  const auto grid = static_cast<unsigned>(rows);
  if (is_wide(h) && is_wide(out) && is_wide_table(tokens.table) && is_wide_table(positions.table))
    embed_rows<true><<<grid, kThreads, 0, stream>>>(tokens, positions, h, accumulate, out);
  else
    embed_rows<false><<<grid, kThreads, 0, stream>>>(tokens, positions, h, accumulate, out);
  check_launch("embed_rows");
}

}  // namespace optpipe::kernels::cuda
