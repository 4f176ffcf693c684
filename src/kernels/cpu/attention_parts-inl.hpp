// Softmax and weighted sums, as attention needs them.
#if defined(OPTPIPE_KERNELS_CPU_ATTENTION_PARTS_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef OPTPIPE_KERNELS_CPU_ATTENTION_PARTS_INL_HPP
#undef OPTPIPE_KERNELS_CPU_ATTENTION_PARTS_INL_HPP
#else
#define OPTPIPE_KERNELS_CPU_ATTENTION_PARTS_INL_HPP
#endif

#include <hwy/contrib/math/math-inl.h>

#include <algorithm>
#include <limits>

#include "kernels/cpu/dot_tile-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace optpipe::kernels::HWY_NAMESPACE {

// Replaces scores[0 .. count) by their softmax; the row is aligned and writable to a multiple of kLanes.
// Scores that overflowed count as the largest number, so that no infinity - infinity arises; NaN stays NaN.
HWY_ATTR inline void softmax(float* scores, std::int64_t count) {
  const Floats d;
  constexpr float kLargest = std::numeric_limits<float>::max();
  const Vector lowest = hn::Set(d, -kLargest), highest = hn::Set(d, kLargest);
  std::fill(scores + count, scores + (count + kLanes - 1) / kLanes * kLanes, -kLargest);
  Vector most = lowest;
  for (std::int64_t i = 0; i < count; i += kLanes) {
    Vector score = hn::Load(d, scores + i);
    score =
        hn::IfThenElse(hn::Gt(score, highest), highest, hn::IfThenElse(hn::Lt(score, lowest), lowest, score));
    hn::Store(score, d, scores + i);
    most = hn::IfThenElse(hn::Gt(score, most), score, most);
  }
  HWY_ALIGN float lanes[kLanes];
  hn::Store(most, d, lanes);
  most = hn::Set(d, *std::max_element(lanes, lanes + kLanes));

  Vector sums = hn::Zero(d);
  for (std::int64_t i = 0; i < count; i += kLanes) {
    const Vector score = hn::Load(d, scores + i);
    Vector power = hn::Exp(d, hn::Sub(score, most));
    power = hn::IfThenElse(hn::Eq(score, score), power, score);
    if (i + kLanes > count)
      power = hn::IfThenElseZero(hn::FirstN(d, static_cast<std::size_t>(count - i)), power);
    hn::Store(power, d, scores + i);
    sums = hn::Add(sums, power);
  }
  const Vector inverse = hn::Set(d, 1.0f / sum_of_lanes(sums));
  for (std::int64_t i = 0; i < count; i += kLanes)
    hn::Store(hn::Mul(hn::Load(d, scores + i), inverse), d, scores + i);
}

// sums[r, 0 .. vectors · kLanes) += weights[r, p] · v[p, ...] over p in order: one chain of fused
// multiply-adds an element. Of the last vector of v only `last` elements exist.
template <int rows, int vectors, class T>
HWY_ATTR HWY_INLINE void add_weighted(const float* weights, std::int64_t weights_pitch, const T* v,
                                      std::int64_t v_stride, std::int64_t count, std::int64_t last,
                                      float* sums, std::int64_t sums_pitch) {
  const Floats d;
  Vector acc[rows][vectors];
  for (int r = 0; r < rows; ++r)
    for (int c = 0; c < vectors; ++c) acc[r][c] = hn::Load(d, sums + r * sums_pitch + c * kLanes);
  if (last == kLanes) {
    for (std::int64_t p = 0; p < count; ++p) {
      Vector values[vectors];
      for (int c = 0; c < vectors; ++c) values[c] = load(v + p * v_stride + c * kLanes);
      for (int r = 0; r < rows; ++r) {
        const Vector weight = hn::Set(d, weights[r * weights_pitch + p]);
        for (int c = 0; c < vectors; ++c) acc[r][c] = hn::MulAdd(weight, values[c], acc[r][c]);
      }
    }
  } else {
    for (std::int64_t p = 0; p < count; ++p) {
      Vector values[vectors];
      for (int c = 0; c + 1 < vectors; ++c) values[c] = load(v + p * v_stride + c * kLanes);
      values[vectors - 1] = load_first(v + p * v_stride + (vectors - 1) * kLanes, last);
      for (int r = 0; r < rows; ++r) {
        const Vector weight = hn::Set(d, weights[r * weights_pitch + p]);
        for (int c = 0; c < vectors; ++c) acc[r][c] = hn::MulAdd(weight, values[c], acc[r][c]);
      }
    }
  }
  for (int r = 0; r < rows; ++r)
    for (int c = 0; c < vectors; ++c) hn::Store(acc[r][c], d, sums + r * sums_pitch + c * kLanes);
}

// The same over rows of `dim` elements; sums' rows are padded to multiples of kLanes.
template <int rows, class T>
HWY_ATTR void add_weighted_rows(const float* weights, std::int64_t weights_pitch, const T* v,
                                std::int64_t v_stride, std::int64_t count, std::int64_t dim, float* sums,
                                std::int64_t sums_pitch) {
  std::int64_t i = 0;
  for (; i + 4 * kLanes <= dim; i += 4 * kLanes)
    add_weighted<rows, 4>(weights, weights_pitch, v + i, v_stride, count, kLanes, sums + i, sums_pitch);
  for (; i < dim; i += kLanes)
    add_weighted<rows, 1>(weights, weights_pitch, v + i, v_stride, count, std::min(kLanes, dim - i), sums + i,
                          sums_pitch);
}

}  // namespace optpipe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
