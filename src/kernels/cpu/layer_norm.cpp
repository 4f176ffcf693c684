#include "kernels/cpu/targets.hpp"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/layer_norm.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>

#include "kernels/cpu/parallel.hpp"
#include "kernels/cpu/scratch.hpp"
#include "kernels/cpu/vector-inl.hpp"
#include "optpipe/base/check.hpp"
#include "optpipe/kernels/cpu.hpp"

HWY_BEFORE_NAMESPACE();
namespace optpipe::kernels::HWY_NAMESPACE {
namespace {

constexpr float kEpsilon = 1e-5f;

HWY_ATTR float mean_of(const float* x, std::int64_t h) {
  Vector sums = hn::Zero(Floats());
  std::int64_t i = 0;
  for (; i + kLanes <= h; i += kLanes) sums = hn::Add(sums, load(x + i));
  if (i < h) sums = hn::Add(sums, load_first(x + i, h - i));
  return sum_of_lanes(sums) / static_cast<float>(h);
}

struct Moments {
  float mean, variance;
};

// Two passes: sums of differences from a first mean give the variance, and what rounding left of the mean.
HWY_ATTR Moments moments_of(const float* x, std::int64_t h) {
  const Floats d;
  const float first = mean_of(x, h);
  const Vector mean = hn::Set(d, first);
  Vector sums = hn::Zero(d), squares = hn::Zero(d);
  for (std::int64_t i = 0; i < h; i += kLanes) {
    Vector difference = hn::Sub(i + kLanes <= h ? load(x + i) : load_first(x + i, h - i), mean);
    if (i + kLanes > h)
      difference = hn::IfThenElseZero(hn::FirstN(d, static_cast<std::size_t>(h - i)), difference);
    sums = hn::Add(sums, difference);
    squares = hn::MulAdd(difference, difference, squares);
  }
  const float rest = sum_of_lanes(sums) / static_cast<float>(h);
  return {first + rest, std::max(0.0f, sum_of_lanes(squares) / static_cast<float>(h) - rest * rest)};
}

// weight and bias are padded to a multiple of kLanes.
HWY_ATTR void normalize_row(const float* x, std::int64_t h, const float* weight, const float* bias,
                            float* out) {
  const Floats d;
  const Moments moments = moments_of(x, h);
  const Vector mean = hn::Set(d, moments.mean);
  const Vector inverse = hn::Set(d, 1.0f / std::sqrt(moments.variance + kEpsilon));
  for (std::int64_t i = 0; i < h; i += kLanes) {
    const bool whole = i + kLanes <= h;
    const Vector v = hn::Sub(whole ? load(x + i) : load_first(x + i, h - i), mean);
    const Vector result = hn::MulAdd(hn::Mul(v, inverse), hn::Load(d, weight + i), hn::Load(d, bias + i));
    if (whole)
      hn::StoreU(result, d, out + i);
    else
      store_first(result, out + i, h - i);
  }
}

HWY_ATTR void normalize_rows(const float* x, std::int64_t rows, std::int64_t h, VectorView weight,
                             VectorView bias, float* out) {
  const std::int64_t pitch = align_floats(h);
  float* weights = thread_scratch(2 * pitch);
  float* biases = weights + pitch;
  if (weight.data)
    widen_any(weight.data, weight.dtype, h, weights, pitch);
  else
    std::fill_n(weights, pitch, 1.0f);
  widen_any(bias.data, bias.dtype, bias.data ? h : 0, biases, pitch);
  for (std::int64_t r = 0; r < rows; ++r) normalize_row(x + r * h, h, weights, biases, out + r * h);
}

}  // namespace
}  // namespace optpipe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace optpipe::kernels {
namespace {

HWY_EXPORT(normalize_rows);
constexpr std::int64_t kRowsPerUnit = 8;

}  // namespace

void layer_norm(const float* x, std::int64_t m, std::int64_t h, VectorView weight, VectorView bias,
                float* out, int threads) {
  OPTPIPE_CHECK(h > 0, "rows of {} elements", h);
  parallel_for((m + kRowsPerUnit - 1) / kRowsPerUnit, threads, [&](std::int64_t unit) {
    const std::int64_t row = unit * kRowsPerUnit;
    HWY_DYNAMIC_DISPATCH(normalize_rows)
    (x + row * h, std::min(kRowsPerUnit, m - row), h, weight, bias, out + row * h);
  });
}

}  // namespace optpipe::kernels
#endif
