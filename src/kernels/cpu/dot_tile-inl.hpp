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

#include <hwy/cache_control.h>

#include <cstddef>
#include <cstdint>

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

template <int rows, int column>
HWY_ATTR HWY_INLINE void add_products(const Vector (&xs)[rows], Vector w, Vector (&acc)[rows][kTileColumns]) {
  for (int r = 0; r < rows; ++r) acc[r][column] = hn::MulAdd(xs[r], w, acc[r][column]);
}

// Which elements a tile asks for besides those it reads: so many after them, in the first two rows of w and
// in the last two; 0: none.
struct Ahead {
  std::int64_t first = 0, last = 0;
};

// Asks for what lies `ahead` elements after `p`, which need not be memory at all. Processors see streams by
// themselves where rows are long, not where they end after a few lines.
template <class T>
HWY_ATTR HWY_INLINE void fetch_ahead(const T* p, std::int64_t ahead) {
  const auto address = reinterpret_cast<std::uintptr_t>(p) + static_cast<std::uintptr_t>(ahead) * sizeof(T);
  hwy::Prefetch(reinterpret_cast<const std::byte*>(address));
}

// sums[r, c] (+)= x[r, 0 .. k) · w[c][0 .. k), r < rows, c < 4; strides in elements; adds where `add`. Asks
// for elements `ahead` if `fetch`.
template <int rows, bool fetch, class T>
HWY_ATTR HWY_INLINE void dot_tile(const float* HWY_RESTRICT x, std::int64_t x_stride, const T* const* w,
                                  std::int64_t k, bool add, float* HWY_RESTRICT sums,
                                  std::int64_t sums_stride, Ahead ahead) {
  const T *w0 = w[0], *w1 = w[1], *w2 = w[2], *w3 = w[3];
  const std::int64_t whole = k / kLanes * kLanes, rest = k - whole;
  // The last step's operands are made before the sums exist: copies would drive these out of the registers.
  HWY_ALIGN float x_rest[rows * kLanes], w_rest[kTileColumns * kLanes];
  if (rest > 0) {
    for (int r = 0; r < rows; ++r)
      hn::Store(load_first(x + r * x_stride + whole, rest), Floats(), x_rest + r * kLanes);
    for (int c = 0; c < kTileColumns; ++c)
      hn::Store(load_first(w[c] + whole, rest), Floats(), w_rest + c * kLanes);
  }

  Vector acc[rows][kTileColumns];
  for (int r = 0; r < rows; ++r)
    for (int c = 0; c < kTileColumns; ++c) acc[r][c] = hn::Zero(Floats());

  for (std::int64_t i = 0; i < whole; i += kLanes) {
    Vector xs[rows];
    if constexpr (fetch) {
      fetch_ahead(w0 + i, ahead.first);
      fetch_ahead(w1 + i, ahead.first);
      fetch_ahead(w2 + i, ahead.last);
      fetch_ahead(w3 + i, ahead.last);
    }
    for (int r = 0; r < rows; ++r) xs[r] = load(x + r * x_stride + i);
    add_products<rows, 0>(xs, load(w0 + i), acc);
    add_products<rows, 1>(xs, load(w1 + i), acc);
    add_products<rows, 2>(xs, load(w2 + i), acc);
    add_products<rows, 3>(xs, load(w3 + i), acc);
  }
  if (rest > 0) {
    Vector xs[rows];
    for (int r = 0; r < rows; ++r) xs[r] = load(x_rest + r * kLanes);
    add_products<rows, 0>(xs, load(w_rest), acc);
    add_products<rows, 1>(xs, load(w_rest + kLanes), acc);
    add_products<rows, 2>(xs, load(w_rest + 2 * kLanes), acc);
    add_products<rows, 3>(xs, load(w_rest + 3 * kLanes), acc);
  }

  const Quad quad;
  for (int r = 0; r < rows; ++r) {
    auto sum = reduce4(acc[r][0], acc[r][1], acc[r][2], acc[r][3]);
    if (add) sum = hn::Add(hn::LoadU(quad, sums + r * sums_stride), sum);
    hn::StoreU(sum, quad, sums + r * sums_stride);
  }
}

// dot_tile over up to kTileRows rows of x.
template <bool fetch, class T>
HWY_ATTR void dot_some_rows(const float* x, std::int64_t x_stride, std::int64_t rows, const T* const* w,
                            std::int64_t k, bool add, float* sums, std::int64_t sums_stride, Ahead ahead) {
  switch (rows) {
    case 1:
      return dot_tile<1, fetch>(x, x_stride, w, k, add, sums, sums_stride, ahead);
    case 2:
      return dot_tile<2, fetch>(x, x_stride, w, k, add, sums, sums_stride, ahead);
#if HWY_TARGET == HWY_NEON || HWY_TARGET == HWY_AVX2 || (HWY_ARCH_X86 && HWY_TARGET < HWY_AVX2)
    case 3:
      return dot_tile<3, fetch>(x, x_stride, w, k, add, sums, sums_stride, ahead);
#endif
#if HWY_TARGET == HWY_NEON || (HWY_ARCH_X86 && HWY_TARGET < HWY_AVX2)
    case 4:
      return dot_tile<4, fetch>(x, x_stride, w, k, add, sums, sums_stride, ahead);
    case 5:
      return dot_tile<5, fetch>(x, x_stride, w, k, add, sums, sums_stride, ahead);
    case 6:
      return dot_tile<6, fetch>(x, x_stride, w, k, add, sums, sums_stride, ahead);
#endif
    default:
      return;
  }
}

// dot_tile over any number of rows of x, in tiles of about the same height. `ahead` elements after w's rows
// lie those needed next, 0 if they are in the cache anyway; the first two tiles share in fetching them, to
// overlap with memory.
template <class T>
HWY_ATTR void dot_rows(const float* x, std::int64_t x_stride, std::int64_t rows, const T* const* w,
                       std::int64_t k, bool add, float* sums, std::int64_t sums_stride,
                       std::int64_t ahead = 0) {
  const std::int64_t tiles = (rows + kTileRows - 1) / kTileRows;
  for (std::int64_t tile = 0; tile < tiles; ++tile) {
    const std::int64_t count = (rows + tiles - 1 - tile) / tiles;
    if (ahead > 0 && tile < 2)
      dot_some_rows<true>(x, x_stride, count, w, k, add, sums, sums_stride,
                          {tile == 0 ? ahead : 0, tile == 1 || tiles == 1 ? ahead : 0});
    else
      dot_some_rows<false>(x, x_stride, count, w, k, add, sums, sums_stride, {});
    x += count * x_stride;
    sums += count * sums_stride;
  }
}

}  // namespace optpipe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
