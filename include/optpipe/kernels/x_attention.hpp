// What attention over stored inputs X of the attention block takes besides linear() (cpu.hpp): the absorbed
// projections of docs/x-cache.md. Keeps cpu.hpp's promise: an element of a result is one fixed sequence of
// operations on its own inputs.
#pragma once

#include <cstdint>

#include "optpipe/kernels/cpu.hpp"

namespace optpipe::kernels {

// out[m, n] = Σ_k x[m, k] · matrix[k, n], summed in the order of k by fused multiply-adds: combinations of
// the rows of a matrix [k, n] of any format, x [m, k] with row stride `x_stride`, out [m, n] with row stride
// `out_stride` (in elements). out must not overlap x.
void combine_rows(const float* x, std::int64_t x_stride, std::int64_t m, const MatrixView& matrix, float* out,
                  std::int64_t out_stride, int threads);

// Rows of scores are padded to multiples of this many.
inline constexpr std::int64_t kScoresPadding = 16;

// scores[m, 0 .. n) = softmax(scale · scores[m, 0 .. n)) for m rows with row stride `stride`, a multiple of
// kScoresPadding; begins at a multiple of 64 bytes. What is between n and the stride is overwritten.
void softmax_rows(float* scores, std::int64_t m, std::int64_t n, std::int64_t stride, float scale,
                  int threads);

}  // namespace optpipe::kernels
