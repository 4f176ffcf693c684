// Products for rows of a prompt, on the matrix units (AMX) of processors that have them.
//
// A tile instruction multiplies bf16 numbers and adds up in fp32. An fp32 activation is taken as the sum of
// two bf16 numbers (16 bits of it), an fp16 weight as the sum of two, which is exact, a bf16 weight is one;
// a quantized weight counts with 16 bits; the product of the two small parts is left out. That errs by up to
// 2^-15 of each term, with random sign, and still runs several times as fast as fp32 vectors.
//
// Tiles hold 16 weight rows x 32 of k, against 32 of k x 16 rows of x; a result element sums over k in one
// fixed order, whatever lies beside it, so bits depend on nothing but its own inputs.

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "kernels/cpu/parallel.hpp"
#include "kernels/cpu/scratch.hpp"
#include "optpipe/kernels/cpu.hpp"
#include "optpipe/kernels/quantized.hpp"

#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>
#define OPTPIPE_AMX 1
#define OPTPIPE_TARGET \
  __attribute__((target("amx-tile,amx-bf16,avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,f16c,fma")))
#endif

namespace optpipe::kernels {

#ifdef OPTPIPE_AMX
namespace {

constexpr std::int64_t kTileRows = 16, kTileDepth = 32, kTile = kTileRows * kTileDepth;  // bf16 elements
constexpr std::int64_t kPanel = 2 * kTileRows;  // weight rows and x rows of a 2 x 2 block of tiles

using Bits = std::uint16_t;  // of a bf16

// The kernel hands out tile registers on request only.
bool request_tiles() {
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

bool detect() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
  const bool amx = (d >> 22 & 1) && (d >> 24 & 1);
  if (!__get_cpuid_count(7, 1, &a, &b, &c, &d)) return false;
  const bool bf16 = a >> 5 & 1;
  return amx && bf16 && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
         request_tiles();
}

struct alignas(64) TileConfig {
  std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
  std::uint16_t columns[16] = {64, 64, 64, 64, 64, 64, 64, 64};  // bytes a row
  std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

OPTPIPE_TARGET inline __m512 widen(__m256i bits) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
}

// hi + lo = 32 values, to 16 bits.
OPTPIPE_TARGET inline void split(__m512 low, __m512 high, __m512i& hi, __m512i& lo) {
  const auto first = _mm512_cvtne2ps_pbh(high, low);
  std::memcpy(&hi, &first, sizeof hi);
  const __m512 rest_low = _mm512_sub_ps(low, widen(_mm512_castsi512_si256(hi)));
  const __m512 rest_high = _mm512_sub_ps(high, widen(_mm512_extracti64x4_epi64(hi, 1)));
  const auto second = _mm512_cvtne2ps_pbh(rest_high, rest_low);
  std::memcpy(&lo, &second, sizeof lo);
}

// x [m, k] as tiles of 16 pairs along k x 16 rows, [row block][depth][hi, lo]; rows and depths beyond the
// matrix are 0.
OPTPIPE_TARGET void pack_rows(const float* x, std::int64_t stride, std::int64_t m, std::int64_t k,
                              std::int64_t block, std::int64_t depths, Bits* out) {
  alignas(64) float values[kTileDepth];
  alignas(64) std::uint32_t hi_pairs[16], lo_pairs[16];
  for (std::int64_t row = 0; row < kTileRows; ++row) {
    const std::int64_t source = block * kTileRows + row;
    for (std::int64_t depth = 0; depth < depths; ++depth) {
      auto* tile = reinterpret_cast<std::uint32_t*>(out + depth * 2 * kTile);
      const std::int64_t begin = depth * kTileDepth, count = source < m ? std::min(kTileDepth, k - begin) : 0;
      const float* from = x + source * stride + begin;
      if (count < kTileDepth) {
        std::fill_n(values, kTileDepth, 0.0f);
        std::copy_n(from, count, values);
        from = values;
      }
      __m512i hi, lo;
      split(_mm512_loadu_ps(from), _mm512_loadu_ps(from + 16), hi, lo);
      _mm512_store_si512(hi_pairs, hi);
      _mm512_store_si512(lo_pairs, lo);
      for (std::int64_t pair = 0; pair < 16; ++pair) {
        tile[pair * kTileRows + row] = hi_pairs[pair];
        tile[kTile / 2 + pair * kTileRows + row] = lo_pairs[pair];
      }
    }
  }
}

// One quantized weight row, widened, as rows of tiles.
OPTPIPE_TARGET void pack_widened(const float* values, std::int64_t depths, Bits* out) {
  for (std::int64_t depth = 0; depth < depths; ++depth, values += kTileDepth, out += 2 * kTile) {
    __m512i hi, lo;
    split(_mm512_loadu_ps(values), _mm512_loadu_ps(values + 16), hi, lo);
    _mm512_storeu_si512(out, hi);
    _mm512_storeu_si512(out + kTile, lo);
  }
}

// One weight row as rows of tiles, [depth][hi, lo]; `data` null: zeros.
OPTPIPE_TARGET void pack_weights(const std::byte* data, DType dtype, std::int64_t k, std::int64_t depths,
                                 Bits* out) {
  alignas(64) Bits halves[kTileDepth];
  for (std::int64_t depth = 0; depth < depths; ++depth, out += 2 * kTile) {
    const std::int64_t begin = depth * kTileDepth,
                       count = data != nullptr ? std::min(kTileDepth, k - begin) : 0;
    const auto* from = reinterpret_cast<const Bits*>(data) + begin;
    if (count < kTileDepth) {
      std::fill_n(halves, kTileDepth, Bits{0});
      if (count > 0) std::memcpy(halves, from, static_cast<std::size_t>(count) * sizeof(Bits));
      from = halves;
    }
    __m512i hi = _mm512_loadu_si512(from), lo = _mm512_setzero_si512();
    if (dtype == DType::f16)
      split(_mm512_cvtph_ps(_mm512_castsi512_si256(hi)), _mm512_cvtph_ps(_mm512_extracti64x4_epi64(hi, 1)),
            hi, lo);
    _mm512_storeu_si512(out, hi);
    _mm512_storeu_si512(out + kTile, lo);
  }
}

// sums[n, m] of 32 weight rows x 32 rows of x, as four tiles.
OPTPIPE_TARGET void multiply(const Bits* w, const Bits* x, std::int64_t depths, bool exact_weights,
                             float* sums) {
  const Bits *w0 = w, *w1 = w + depths * 2 * kTile, *x0 = x, *x1 = x + depths * 2 * kTile;
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (std::int64_t depth = 0; depth < depths; ++depth) {
    const std::int64_t at = depth * 2 * kTile;
    _tile_loadd(4, w0 + at, 64);
    _tile_loadd(5, w1 + at, 64);
    _tile_loadd(6, x0 + at + kTile, 64);
    _tile_loadd(7, x1 + at + kTile, 64);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
    _tile_loadd(6, x0 + at, 64);
    _tile_loadd(7, x1 + at, 64);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
    if (exact_weights) continue;
    _tile_loadd(4, w0 + at + kTile, 64);
    _tile_loadd(5, w1 + at + kTile, 64);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_stored(0, sums, kPanel * sizeof(float));
  _tile_stored(1, sums + kTileRows, kPanel * sizeof(float));
  _tile_stored(2, sums + kTileRows * kPanel, kPanel * sizeof(float));
  _tile_stored(3, sums + kTileRows * kPanel + kTileRows, kPanel * sizeof(float));
}

// 16 values of one row of the result; `before`: what stood there.
OPTPIPE_TARGET inline __m512 finish(__m512 values, __m512 before, Epilogue epilogue) {
  if (epilogue == Epilogue::relu) return _mm512_max_ps(values, _mm512_setzero_ps());
  if (epilogue == Epilogue::add) return _mm512_add_ps(before, values);
  if (epilogue == Epilogue::none) return values;
  alignas(64) float each[16];
  _mm512_store_ps(each, values);
  for (float& value : each) value = value * 0.5f * (1.0f + std::erf(value * 0.70710678118654752f));
  return _mm512_load_ps(each);
}

// out[j] = epilogue(sums[j, column] + bias[j]) for j < rows: a column of the tiles is a row of the result.
OPTPIPE_TARGET void store_row(const float* sums, std::int64_t column, const float* bias, std::int64_t rows,
                              Epilogue epilogue, float* out) {
  const __m512i down =
      _mm512_mullo_epi32(_mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
                         _mm512_set1_epi32(static_cast<int>(kPanel)));
  for (std::int64_t j = 0; j < rows; j += kTileRows) {
    const auto mask = static_cast<__mmask16>(rows - j >= kTileRows ? 0xffff : (1 << (rows - j)) - 1);
    const __m512 sum = _mm512_i32gather_ps(down, sums + j * kPanel + column, sizeof(float));
    const __m512 before =
        epilogue == Epilogue::add ? _mm512_maskz_loadu_ps(mask, out + j) : _mm512_setzero_ps();
    _mm512_mask_storeu_ps(out + j, mask,
                          finish(_mm512_add_ps(sum, _mm512_loadu_ps(bias + j)), before, epilogue));
  }
}

struct Product {
  const Bits* x;  // packed
  std::int64_t m, k, depths;
  const MatrixView& weight;
  VectorView bias;
  Epilogue epilogue;
  float* out;
  std::int64_t out_stride;
};

// Weight rows [first, first + 32) against all of x.
OPTPIPE_TARGET void run_panel(const Product& p, std::int64_t first) {
  const std::int64_t rows = std::min(kPanel, p.weight.rows - first);
  const auto floats =
      kPanel * p.depths * 2 * kTileDepth / 2 + kPanel * kPanel + kPanel + p.depths * kTileDepth;
  float* scratch = thread_scratch(floats);
  auto* panel = reinterpret_cast<Bits*>(scratch);
  float* sums = scratch + kPanel * p.depths * 2 * kTileDepth / 2;
  float* bias = sums + kPanel * kPanel;
  float* widened = bias + kPanel;  // a quantized row
  std::fill(widened + p.k, widened + p.depths * kTileDepth, 0.0f);

  const RowFormat format = p.weight.row_format();
  const auto tile_row = [&](std::int64_t row) {
    return panel + (row / kTileRows) * p.depths * 2 * kTile + (row % kTileRows) * kTileDepth;
  };
  std::int64_t row = 0, piece_begin = 0;
  for (const MatrixPiece& piece : p.weight.pieces) {
    for (; row < rows && first + row < piece_begin + piece.rows; ++row) {
      const std::byte* data =
          piece.data + static_cast<std::size_t>(first + row - piece_begin) * format.row_bytes();
      if (is_quantized(format.format)) {
        dequantize(format, 1, data, widened);
        pack_widened(widened, p.depths, tile_row(row));
      } else {
        pack_weights(data, p.weight.dtype, p.k, p.depths, tile_row(row));
      }
    }
    piece_begin += piece.rows;
  }
  for (; row < kPanel; ++row) pack_weights(nullptr, p.weight.dtype, p.k, p.depths, tile_row(row));
  std::fill_n(bias, kPanel, 0.0f);
  if (p.bias.data != nullptr)
    to_float(p.bias.data + static_cast<std::size_t>(first) * size_of(p.bias.dtype), p.bias.dtype, bias, rows);

  const TileConfig config;
  _tile_loadconfig(&config);
  for (std::int64_t x_row = 0; x_row < p.m; x_row += kPanel) {
    multiply(panel, p.x + x_row / kTileRows * p.depths * 2 * kTile, p.depths,
             p.weight.dtype == DType::bf16 && !is_quantized(format.format), sums);
    for (std::int64_t i = 0; i < std::min(kPanel, p.m - x_row); ++i) {
      store_row(sums, i, bias, rows, p.epilogue, p.out + (x_row + i) * p.out_stride + first);
    }
  }
  _tile_release();
}

}  // namespace

bool has_matrix_units() {
  static const bool found = detect();
  return found;
}

void prompt_linear(const float* x, std::int64_t x_stride, std::int64_t m, const MatrixView& weight,
                   VectorView bias, Epilogue epilogue, float* out, std::int64_t out_stride, int threads) {
  if (!has_matrix_units() || weight.dtype == DType::f32)
    return linear(x, x_stride, m, weight, bias, epilogue, out, out_stride, threads);
  const std::int64_t depths = (weight.columns + kTileDepth - 1) / kTileDepth;
  const std::int64_t blocks = (m + kPanel - 1) / kPanel * 2;
  thread_local std::vector<Bits> packed;  // of the calling thread; grows only
  packed.resize(std::max(packed.size(), static_cast<std::size_t>(blocks * depths * 2 * kTile)));
  Bits* tiles = packed.data();
  parallel_for(blocks, threads, [&](std::int64_t block) {
    pack_rows(x, x_stride, m, weight.columns, block, depths, tiles + block * depths * 2 * kTile);
  });
  const Product product{tiles, m, weight.columns, depths, weight, bias, epilogue, out, out_stride};
  parallel_for((weight.rows + kPanel - 1) / kPanel, threads,
               [&](std::int64_t panel) { run_panel(product, panel * kPanel); });
}

#else

bool has_matrix_units() { return false; }

void prompt_linear(const float* x, std::int64_t x_stride, std::int64_t m, const MatrixView& weight,
                   VectorView bias, Epilogue epilogue, float* out, std::int64_t out_stride, int threads) {
  linear(x, x_stride, m, weight, bias, epilogue, out, out_stride, threads);
}

#endif

}  // namespace optpipe::kernels
