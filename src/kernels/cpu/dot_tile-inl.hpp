// The register tile under linear and attention: scalar products of a few rows with four rows, vector lanes
// along k.
//
// Every product is the same sequence whatever tile it is in: one chain of fused multiply-adds a lane over k
// in steps of a vector, a last step padded with zeros, and reduce4's tree over the lanes. A BLAS picks
// kernels and blocks by the shape of the whole product, so its bits change with the number of rows, and
// tokens would depend on what else is in the batch; that is why none is used for results.
#if defined(OPTPIPE_KERNELS_CPU_DOT_TILE_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef OPTPIPE_KERNELS_CPU_DOT_TILE_INL_HPP
#undef OPTPIPE_KERNELS_CPU_DOT_TILE_INL_HPP
#else
#define OPTPIPE_KERNELS_CPU_DOT_TILE_INL_HPP
#endif

#include "kernels/cpu/vector-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace optpipe::kernels::HWY_NAMESPACE {

// Rows of x in a full tile: 4 · kTileRows sums, kTileRows elements of x and one of w fill the registers.
#if HWY_TARGET == HWY_NEON || (HWY_ARCH_X86 && HWY_TARGET < HWY_AVX2)
constexpr int kTileRows = 6;  // 32 registers
#elif HWY_TARGET == HWY_AVX2
constexpr int kTileRows = 3;
#else
constexpr int kTileRows = 2;  // no fused multiply-add: products need a register too
#endif
constexpr int kTileColumns = 4;

// sums[r, c] (+)= x[r, 0 .. k) · w[c][0 .. k), r < rows, c < 4; strides in elements; adds where `add`.
template <int rows, class T>
HWY_ATTR HWY_INLINE void dot_tile(const float* HWY_RESTRICT x, std::int64_t x_stride, const T* const* w,
                                  std::int64_t k, bool add, float* HWY_RESTRICT sums,
                                  std::int64_t sums_stride) {
  const Floats d;
  const T *w0 = w[0], *w1 = w[1], *w2 = w[2], *w3 = w[3];
  Vector acc[rows][kTileColumns];
  for (int r = 0; r < rows; ++r)
    for (int c = 0; c < kTileColumns; ++c) acc[r][c] = hn::Zero(d);

  std::int64_t i = 0;
  for (; i + kLanes <= k; i += kLanes) {
    Vector xs[rows];
    for (int r = 0; r < rows; ++r) xs[r] = load(x + r * x_stride + i);
    const Vector v0 = load(w0 + i);
    for (int r = 0; r < rows; ++r) acc[r][0] = hn::MulAdd(xs[r], v0, acc[r][0]);
    const Vector v1 = load(w1 + i);
    for (int r = 0; r < rows; ++r) acc[r][1] = hn::MulAdd(xs[r], v1, acc[r][1]);
    const Vector v2 = load(w2 + i);
    for (int r = 0; r < rows; ++r) acc[r][2] = hn::MulAdd(xs[r], v2, acc[r][2]);
    const Vector v3 = load(w3 + i);
    for (int r = 0; r < rows; ++r) acc[r][3] = hn::MulAdd(xs[r], v3, acc[r][3]);
  }
  if (i < k) {
    Vector xs[rows];
    for (int r = 0; r < rows; ++r) xs[r] = load_first(x + r * x_stride + i, k - i);
    for (int c = 0; c < kTileColumns; ++c) {
      const Vector v = load_first(w[c] + i, k - i);
      for (int r = 0; r < rows; ++r) acc[r][c] = hn::MulAdd(xs[r], v, acc[r][c]);
    }
  }

  const Quad quad;
  for (int r = 0; r < rows; ++r) {
    auto sum = reduce4(acc[r][0], acc[r][1], acc[r][2], acc[r][3]);
    if (add) sum = hn::Add(hn::LoadU(quad, sums + r * sums_stride), sum);
    hn::StoreU(sum, quad, sums + r * sums_stride);
  }
}

// dot_tile over any number of rows of x.
template <class T>
HWY_ATTR void dot_rows(const float* x, std::int64_t x_stride, std::int64_t rows, const T* const* w,
                       std::int64_t k, bool add, float* sums, std::int64_t sums_stride) {
  for (; rows >= kTileRows; rows -= kTileRows, x += kTileRows * x_stride, sums += kTileRows * sums_stride)
    dot_tile<kTileRows>(x, x_stride, w, k, add, sums, sums_stride);
  switch (rows) {
    case 1:
      return dot_tile<1>(x, x_stride, w, k, add, sums, sums_stride);
    case 2:
      return dot_tile<2>(x, x_stride, w, k, add, sums, sums_stride);
#if HWY_TARGET == HWY_NEON || (HWY_ARCH_X86 && HWY_TARGET < HWY_AVX2)
    case 3:
      return dot_tile<3>(x, x_stride, w, k, add, sums, sums_stride);
    case 4:
      return dot_tile<4>(x, x_stride, w, k, add, sums, sums_stride);
    case 5:
      return dot_tile<5>(x, x_stride, w, k, add, sums, sums_stride);
#endif
    default:
      return;
  }
}

}  // namespace optpipe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
