#include "kernels/cpu/targets.hpp"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/combine_rows.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>

#include "kernels/cpu/attention_parts-inl.hpp"
#include "kernels/cpu/combine_plan.hpp"
#include "kernels/cpu/parallel.hpp"
#include "kernels/cpu/quantized-inl.hpp"
#include "kernels/cpu/scratch.hpp"
#include "optpipe/base/check.hpp"
#include "optpipe/kernels/x_attention.hpp"

HWY_BEFORE_NAMESPACE();
namespace optpipe::kernels::HWY_NAMESPACE {
namespace {

// sums[m, 0 .. columns) += x[m, 0 .. count) · rows of `v`.
template <class T>
HWY_ATTR void add_rows(const CombineArguments& a, std::int64_t k, const T* v, std::int64_t v_stride,
                       std::int64_t count, std::int64_t columns, float* sums, std::int64_t pitch) {
  std::int64_t m = 0;
  for (; m + kTileRows <= a.m; m += kTileRows)
    add_weighted_rows<kTileRows>(a.x + m * a.x_stride + k, a.x_stride, v, v_stride, count, columns,
                                 sums + m * pitch, pitch);
  for (; m < a.m; ++m)
    add_weighted_rows<1>(a.x + m * a.x_stride + k, 0, v, v_stride, count, columns, sums + m * pitch, 0);
}

// Calls visit(first row of the matrix, its data, rows) for blocks of rows that lie side by side.
template <class Visit>
HWY_ATTR void for_each_block(const MatrixView& matrix, Visit visit) {
  const Bytes row_bytes = matrix.row_format().row_bytes();
  std::int64_t k = 0;
  for (const MatrixPiece& piece : matrix.pieces)
    for (std::int64_t row = 0; row < piece.rows; row += kCombineRows) {
      const std::int64_t count = std::min(kCombineRows, piece.rows - row);
      visit(k, piece.data + static_cast<Bytes>(row) * row_bytes, count);
      k += count;
    }
}

template <class T>
HWY_ATTR void sum_native(const CombineArguments& a, std::int64_t n, std::int64_t columns, float* sums,
                         std::int64_t pitch) {
  for_each_block(*a.matrix, [&](std::int64_t k, const std::byte* data, std::int64_t count) {
    add_rows(a, k, reinterpret_cast<const T*>(data) + n, a.matrix->columns, count, columns, sums, pitch);
  });
}

// By way of `panel`, where the unit's columns of a block are widened.
HWY_ATTR void sum_codes(const CombineArguments& a, std::int64_t n, std::int64_t columns, float* sums,
                        std::int64_t pitch, float* panel) {
  const RowFormat format = a.matrix->row_format();
  const Bytes row_bytes = format.row_bytes();
  for_each_block(*a.matrix, [&](std::int64_t k, const std::byte* data, std::int64_t count) {
    for (std::int64_t i = 0; i < count; ++i)
      widen_quantized(format, 1, data + static_cast<Bytes>(i) * row_bytes, 0, n, columns, panel + i * pitch);
    add_rows(a, k, panel, pitch, count, columns, sums, pitch);
  });
}

HWY_ATTR void combine_unit(const CombineArguments& a, std::int64_t n) {
  const std::int64_t columns = std::min(kCombineColumns, a.matrix->columns - n),
                     pitch = align_floats(columns);
  const bool codes = is_quantized(a.matrix->format);
  float* sums = thread_scratch((a.m + (codes ? kCombineRows : 0)) * pitch);
  std::fill(sums, sums + a.m * pitch, 0.0f);
  if (codes)
    sum_codes(a, n, columns, sums, pitch, sums + a.m * pitch);
  else if (a.matrix->dtype == DType::f32)
    sum_native<float>(a, n, columns, sums, pitch);
  else if (a.matrix->dtype == DType::f16)
    sum_native<hwy::float16_t>(a, n, columns, sums, pitch);
  else
    sum_native<hwy::bfloat16_t>(a, n, columns, sums, pitch);
  for (std::int64_t m = 0; m < a.m; ++m) std::copy_n(sums + m * pitch, columns, a.out + m * a.out_stride + n);
}

HWY_ATTR void softmax_row(float* scores, std::int64_t n, float scale) {
  const Floats d;
  const Vector factor = hn::Set(d, scale);
  for (std::int64_t i = 0; i < n; i += kLanes)
    hn::Store(hn::Mul(hn::Load(d, scores + i), factor), d, scores + i);
  softmax(scores, n);
}

}  // namespace
}  // namespace optpipe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace optpipe::kernels {
namespace {

HWY_EXPORT(combine_unit);
HWY_EXPORT(softmax_row);

}  // namespace

void combine_rows(const float* x, std::int64_t x_stride, std::int64_t m, const MatrixView& matrix, float* out,
                  std::int64_t out_stride, int threads) {
  std::int64_t rows = 0;
  for (const MatrixPiece& piece : matrix.pieces) rows += piece.rows;
  OPTPIPE_CHECK(rows == matrix.rows, "pieces hold {} rows of a matrix of {}", rows, matrix.rows);
  OPTPIPE_CHECK((x_stride >= matrix.rows && out_stride >= matrix.columns) || m <= 1,
                "strides {} and {} for a matrix of {} rows of {}", x_stride, out_stride, matrix.rows,
                matrix.columns);
  if (m <= 0 || matrix.columns == 0) return;
  const CombineArguments arguments{x, x_stride, m, &matrix, out, out_stride};
  parallel_for((matrix.columns + kCombineColumns - 1) / kCombineColumns, threads, [&](std::int64_t i) {
    HWY_DYNAMIC_DISPATCH(combine_unit)(arguments, i * kCombineColumns);
  });
}

void softmax_rows(float* scores, std::int64_t m, std::int64_t n, std::int64_t stride, float scale,
                  int threads) {
  OPTPIPE_CHECK(n > 0 && stride >= n && stride % kScoresPadding == 0, "{} scores with stride {}", n, stride);
  parallel_for(m, threads, [&](std::int64_t i) {
    HWY_DYNAMIC_DISPATCH(softmax_row)(scores + i * stride, n, scale);
  });
}

}  // namespace optpipe::kernels
#endif
