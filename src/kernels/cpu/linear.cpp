#include "kernels/cpu/targets.hpp"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/linear.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>
#include <type_traits>

#include "kernels/cpu/dot_tile-inl.hpp"
#include "kernels/cpu/linear_plan.hpp"
#include "kernels/cpu/parallel.hpp"
#include "kernels/cpu/quantized-inl.hpp"
#include "kernels/cpu/scratch.hpp"
#include "optpipe/base/check.hpp"

HWY_BEFORE_NAMESPACE();
namespace optpipe::kernels::HWY_NAMESPACE {
namespace {

// Row `n` of the weight, wherever its piece lies.
const std::byte* row_at(const MatrixView& weight, std::int64_t n, Bytes row_bytes) {
  for (const MatrixPiece& piece : weight.pieces) {
    if (n < piece.rows) return piece.data + static_cast<Bytes>(n) * row_bytes;
    n -= piece.rows;
  }
  return nullptr;
}
template <class T>
const T* row_of(const MatrixView& weight, std::int64_t n) {
  return reinterpret_cast<const T*>(row_at(weight, n, static_cast<Bytes>(weight.columns) * sizeof(T)));
}
struct Codes {};  // in place of a number's type: rows of a quantized weight

// Elements [k, k + count) of row n to the aligned `to`, padded with zeros.
template <class T>
HWY_ATTR void widen_row(const MatrixView& weight, std::int64_t n, std::int64_t k, std::int64_t count,
                        float* to) {
  const std::int64_t padded = align_floats(count);
  if constexpr (std::is_same_v<T, Codes>) {
    const RowFormat format = weight.row_format();
    widen_quantized(format, 1, row_at(weight, n, format.row_bytes()), 0, k, count, to);
    std::fill(to + count, to + padded, 0.0f);
  } else {
    widen(row_of<T>(weight, n) + k, count, to, padded);
  }
}

// Rows n .. n + 3, the last one again where the weight ends: its products are computed and dropped.
template <class T>
void rows_of(const MatrixView& weight, std::int64_t n, std::int64_t n_end, const T** rows) {
  for (std::int64_t c = 0; c < kTileColumns; ++c) rows[c] = row_of<T>(weight, std::min(n + c, n_end - 1));
}

// A unit's products before the epilogue: [m_end - m_begin, pitch] in `sums`.
template <class T>
HWY_ATTR void sum_streaming(const LinearArguments& a, const LinearUnit& unit, float* sums,
                            std::int64_t pitch) {
  const MatrixView& weight = *a.weight;
  const float* x = a.x + unit.m_begin * a.x_stride;
  for (std::int64_t n = unit.n_begin; n < unit.n_end; n += kTileColumns) {
    const T* rows[kTileColumns];
    rows_of(weight, n, unit.n_end, rows);
    std::int64_t k = 0;
    do {
      const std::int64_t count = std::min(kColumnBlock, weight.columns - k);
      dot_rows(x + k, a.x_stride, unit.m_end - unit.m_begin, rows, count, k > 0, sums + n - unit.n_begin,
               pitch, kTileColumns * weight.columns);
      for (const T*& row : rows) row += count;
      k += count;
    } while (k < weight.columns);
  }
}

constexpr std::int64_t kPanelPitch = kColumnBlock + kScratchAlignment;  // rows in different sets of the cache

// A row of tiles: m_count rows of x with the n_count rows of the panel `w`.
HWY_ATTR void sum_row_of_tiles(const float* x, std::int64_t x_stride, std::int64_t m_count, const float* w,
                               std::int64_t n_count, std::int64_t k, bool add, float* sums,
                               std::int64_t pitch) {
  for (std::int64_t n = 0; n < n_count; n += kTileColumns) {
    const float* rows[kTileColumns];
    for (std::int64_t c = 0; c < kTileColumns; ++c) rows[c] = w + std::min(n + c, n_count - 1) * kPanelPitch;
    if (m_count == kTileRows)
      dot_tile<kTileRows, false>(x, x_stride, rows, k, add, sums + n, pitch, {});
    else
      dot_rows(x, x_stride, m_count, rows, k, add, sums + n, pitch);
  }
}

// Vectors of x never cross a cache line: otherwise tiles are faster with a copy.
bool is_aligned(const LinearArguments& a) {
  return reinterpret_cast<std::uintptr_t>(a.x) % 64 == 0 && a.x_stride % kScratchAlignment == 0;
}

// The same as sum_streaming by way of `panel`: kTileRows rows of x, which a row of tiles shares, and the
// unit's columns of the weight, all widened and aligned.
template <class T>
HWY_ATTR void sum_widening(const LinearArguments& a, const LinearUnit& unit, float* sums, std::int64_t pitch,
                           float* panel) {
  const std::int64_t n_count = unit.n_end - unit.n_begin;
  const bool copy_x = !is_aligned(a);
  float* const w = panel + kTileRows * kPanelPitch;
  for (std::int64_t k = 0; k < a.weight->columns; k += kColumnBlock) {
    const std::int64_t count = std::min(kColumnBlock, a.weight->columns - k);
    for (std::int64_t n = 0; n < n_count; ++n)
      widen_row<T>(*a.weight, unit.n_begin + n, k, count, w + n * kPanelPitch);
    for (std::int64_t m = unit.m_begin; m < unit.m_end; m += kTileRows) {
      const std::int64_t m_count = std::min<std::int64_t>(kTileRows, unit.m_end - m);
      const float* x = a.x + m * a.x_stride + k;
      for (std::int64_t r = 0; copy_x && r < m_count; ++r)
        widen(x + r * a.x_stride, count, panel + r * kPanelPitch, align_floats(count));
      sum_row_of_tiles(copy_x ? panel : x, copy_x ? kPanelPitch : a.x_stride, m_count, w, n_count, count,
                       k > 0, sums + (m - unit.m_begin) * pitch, pitch);
    }
  }
}

// A quantized weight is widened in any case: a few rows at a time, in the first-level cache, where each is
// used but once.
HWY_ATTR void sum_streaming_codes(const LinearArguments& a, const LinearUnit& unit, float* sums,
                                  std::int64_t pitch, float* panel) {
  for (std::int64_t n = unit.n_begin; n < unit.n_end; n += kTileColumns)
    sum_widening<Codes>(a,
                        {unit.m_begin, unit.m_end, n, std::min<std::int64_t>(n + kTileColumns, unit.n_end)},
                        sums + n - unit.n_begin, pitch, panel);
}

// x·Φ(x), lane by lane: OPT's own activation is ReLU, and the exact GELU needs the library's erf.
HWY_ATTR Vector gelu(Vector v) {
  HWY_ALIGN float lanes[kLanes];
  hn::Store(v, Floats(), lanes);
  for (float& lane : lanes) lane = lane * 0.5f * (1.0f + std::erf(lane * 0.70710678118654752f));
  return hn::Load(Floats(), lanes);
}

// out = epilogue(sums + bias) for `count` elements of a row; sums and bias are readable to a multiple of
// kLanes.
template <Epilogue epilogue>
HWY_ATTR void finish_row(const float* sums, const float* bias, float* out, std::int64_t count) {
  const Floats d;
  for (std::int64_t i = 0; i < count; i += kLanes) {
    const bool whole = i + kLanes <= count;
    Vector v = hn::Add(hn::LoadU(d, sums + i), hn::LoadU(d, bias + i));
    if constexpr (epilogue == Epilogue::relu) v = hn::IfThenZeroElse(hn::Lt(v, hn::Zero(d)), v);  // NaN stays
    if constexpr (epilogue == Epilogue::gelu) v = gelu(v);
    if constexpr (epilogue == Epilogue::add)
      v = hn::Add(whole ? load(out + i) : load_first(out + i, count - i), v);
    if (whole)
      hn::StoreU(v, d, out + i);
    else
      store_first(v, out + i, count - i);
  }
}

HWY_ATTR void finish(Epilogue epilogue, const float* sums, const float* bias, float* out,
                     std::int64_t count) {
  switch (epilogue) {
    case Epilogue::none:
      return finish_row<Epilogue::none>(sums, bias, out, count);
    case Epilogue::relu:
      return finish_row<Epilogue::relu>(sums, bias, out, count);
    case Epilogue::gelu:
      return finish_row<Epilogue::gelu>(sums, bias, out, count);
    case Epilogue::add:
      return finish_row<Epilogue::add>(sums, bias, out, count);
  }
}

template <class T>
HWY_ATTR void run(const LinearArguments& a, const LinearUnit& unit, bool with_panel) {
  const std::int64_t m_count = unit.m_end - unit.m_begin, n_count = unit.n_end - unit.n_begin;
  const std::int64_t pitch = align_floats(n_count),
                     panel_rows = with_panel                 ? n_count
                                  : std::is_same_v<T, Codes> ? kTileColumns
                                                             : 0,
                     panel_floats = panel_rows > 0 ? (kTileRows + panel_rows) * kPanelPitch : 0;
  float* bias = thread_scratch(pitch + m_count * pitch + panel_floats);
  float* sums = bias + pitch;
  if (with_panel)
    sum_widening<T>(a, unit, sums, pitch, sums + m_count * pitch);
  else if constexpr (std::is_same_v<T, Codes>)
    sum_streaming_codes(a, unit, sums, pitch, sums + m_count * pitch);
  else
    sum_streaming<T>(a, unit, sums, pitch);
  const auto bias_offset = static_cast<std::size_t>(unit.n_begin) * size_of(a.bias.dtype);
  widen_any(a.bias.data ? a.bias.data + bias_offset : nullptr, a.bias.dtype, a.bias.data ? n_count : 0, bias,
            pitch);
  for (std::int64_t m = 0; m < m_count; ++m)
    finish(a.epilogue, sums + m * pitch, bias, a.out + (unit.m_begin + m) * a.out_stride + unit.n_begin,
           n_count);
}

HWY_ATTR void linear_unit(const LinearArguments& a, const LinearUnit& unit, bool with_panel) {
  if (is_quantized(a.weight->format)) return run<Codes>(a, unit, with_panel);
  switch (a.weight->dtype) {
    case DType::f32:
      return run<float>(a, unit, with_panel);
    case DType::f16:
      return run<hwy::float16_t>(a, unit, with_panel);
    case DType::bf16:
      return run<hwy::bfloat16_t>(a, unit, with_panel);
  }
}

}  // namespace
}  // namespace optpipe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace optpipe::kernels {
namespace {

HWY_EXPORT(linear_unit);

void check(const LinearArguments& a) {
  const MatrixView& weight = *a.weight;
  std::int64_t rows = 0;
  for (const MatrixPiece& piece : weight.pieces) rows += piece.rows;
  OPTPIPE_CHECK(rows == weight.rows, "pieces hold {} rows of a weight of {}", rows, weight.rows);
  OPTPIPE_CHECK(weight.columns > 0, "a weight of {} columns", weight.columns);
  OPTPIPE_CHECK(a.x_stride >= weight.columns || a.m <= 1, "x stride {} < k {}", a.x_stride, weight.columns);
  OPTPIPE_CHECK(a.out_stride >= weight.rows || a.m <= 1, "out stride {} < n {}", a.out_stride, weight.rows);
}

}  // namespace

void linear(const float* x, std::int64_t x_stride, std::int64_t m, const MatrixView& weight, VectorView bias,
            Epilogue epilogue, float* out, std::int64_t out_stride, int threads) {
  if (m <= 0 || weight.rows == 0) return;
  const LinearArguments arguments{x, x_stride, m, &weight, bias, epilogue, out, out_stride};
  check(arguments);
  const auto row_bytes = static_cast<std::int64_t>(weight.row_format().row_bytes());
  const LinearPlan plan = plan_linear(m, weight.rows, row_bytes, threads);
  parallel_for(plan.units(), threads, [&](std::int64_t i) {
    HWY_DYNAMIC_DISPATCH(linear_unit)(arguments, plan.unit(i), plan.widen);
  });
}

}  // namespace optpipe::kernels
#endif
