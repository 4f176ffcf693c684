// Operations on CPU cores: the oracle of every other backend, and the CPU executor's engine.
//
// Activations are fp32; weights, keys and values stay in their own format, quantized or not, and are widened
// on the way through the cache. Every result element is computed by one fixed sequence of operations that
// depends on its own inputs alone: neither the number of rows beside it, nor the number of threads, nor how
// weights are cut into segments changes a bit of it. That is what makes tokens independent of placement.
//
// All functions run on the calling thread and up to `threads` - 1 others, and return when the result is
// there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <span>
#include <vector>

#include "optpipe/base/dtype.hpp"
#include "optpipe/base/storage_format.hpp"

namespace optpipe::kernels {

// From now on each thread of kernels calls this before its first work, with its number (from 1: number 0 is
// the calling thread, which is left alone) and the size of its team; to pin it, say. One thread at a time.
// Must not throw.
void on_team_thread(std::function<void(int thread, int team)> call);

// The CPUs over which the OpenMP runtime was told to spread its threads (OMP_PROC_BIND, OMP_PLACES); empty
// where it was told nothing.
std::vector<int> openmp_cpus();

// A matrix [rows, columns], row-major, whose rows lie in up to a few pieces (parts on different tiers).
struct MatrixPiece {
  const std::byte* data = nullptr;  // [rows] of the matrix' row format
  std::int64_t rows = 0;
};
struct MatrixView {
  DType dtype{};
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::span<const MatrixPiece> pieces;  // together `rows`, in order
  StorageFormat format = StorageFormat::native;

  RowFormat row_format() const { return {format, dtype, columns}; }
};
// A vector in the weights' format; data == nullptr: absent (no bias, no affine norm).
struct VectorView {
  DType dtype{};
  const std::byte* data = nullptr;
};

enum class Epilogue : std::uint8_t { none, relu, gelu, add };  // add: out += product, the residual connection

// out[m, n] = epilogue(x[m, :] · weight[n, :] + bias[n]), x [m, k] with row stride `x_stride`, weight [n, k],
// out [m, n] with row stride `out_stride` (strides in elements).
void linear(const float* x, std::int64_t x_stride, std::int64_t m, const MatrixView& weight, VectorView bias,
            Epilogue epilogue, float* out, std::int64_t out_stride, int threads);

// The same for rows of a prompt, faster where the processor has matrix units (AMX) and weights have 16 bits:
// x then counts with 16 bits of precision (errors of up to 2^-15 of each term, random in sign). Keeps the
// promise above; but its bits are others than linear()'s, so callers choose by what a row is, part of a
// prompt or a new token, and never by how many there are.
void prompt_linear(const float* x, std::int64_t x_stride, std::int64_t m, const MatrixView& weight,
                   VectorView bias, Epilogue epilogue, float* out, std::int64_t out_stride, int threads);
bool has_matrix_units();

// out[m, :] = (x - mean) / sqrt(variance + 1e-5) · weight + bias over rows of h; out may be x.
void layer_norm(const float* x, std::int64_t m, std::int64_t h, VectorView weight, VectorView bias,
                float* out, int threads);

// One sequence's (or some of its heads') attention: `rows` queries at positions context - rows .. context -
// 1, each attending to all positions up to its own. Serves prefill (rows = context) and decode (rows = 1).
struct AttentionTask {
  const float* q = nullptr;      // [rows, heads · dim], row stride q_stride
  const std::byte* k = nullptr;  // [context] rows of `heads` runs in the format of keys and values
  const std::byte* v = nullptr;
  float* out = nullptr;  // [rows, heads · dim], row stride q_stride
  std::int64_t rows = 0, context = 0, heads = 0;
  std::int64_t q_stride = 0, kv_stride = 0;  // in elements; quantized rows lie side by side
  // Of a new token (rows = 1): besides its own position so many count in the sum over values, those with the
  // largest weights (the first of equal ones); weights stay those of the softmax over all positions. Values
  // of 16 and 32 bits that do not count are not read.
  std::int64_t kept = std::numeric_limits<std::int64_t>::max();
};
// What FlexGen's --attn-sparsity keeps of a context: the share, rounded down, of the positions before the
// last.
constexpr std::int64_t kept_positions(double sparsity, std::int64_t context) {
  return sparsity >= 1 ? std::numeric_limits<std::int64_t>::max()
                       : static_cast<std::int64_t>(sparsity * static_cast<double>(context - 1));
}
// softmax(q · kᵀ · dim^-0.5) · v for every task, softmax in fp32. A head is a run of `kv`, which gives
// head_dim.
void attention(std::span<const AttentionTask> tasks, const RowFormat& kv, int threads);
inline void attention(std::span<const AttentionTask> tasks, std::int64_t head_dim, DType kv, int threads) {
  attention(tasks, RowFormat{StorageFormat::native, kv, head_dim}, threads);
}

// Widening and narrowing (round to nearest even) of contiguous elements.
void to_float(const std::byte* from, DType type, float* out, std::int64_t count);
void from_float(const float* from, std::byte* out, DType type, std::int64_t count);

// body(first, count) for parts that together are the rows 0 .. rows - 1, in no particular order: work that
// treats each row by itself, such as gathering embeddings.
using RowPart = std::function<void(std::int64_t first, std::int64_t count)>;
void for_parts_of_rows(std::int64_t rows, int threads, const RowPart& body);

// Index of the largest of n values, the first one if several are equal; NaN never wins.
std::int64_t argmax(const float* values, std::int64_t n);

// "AVX3", "AVX2", ...: the vector target chosen at run time.
const char* vector_target();

}  // namespace optpipe::kernels
