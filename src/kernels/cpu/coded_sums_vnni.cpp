#include <cstring>
#include <new>

#include "kernels/cpu/coded_heads.hpp"
#include "kernels/cpu/vnni_blocks.hpp"
#include "optpipe/base/check.hpp"

#ifdef OPTPIPE_VNNI
namespace optpipe::kernels {
namespace vnni {
namespace {

constexpr std::int64_t kVectors = 4;  // of a group's sums

// What lies in the scratch.
struct Work {
  alignas(64) BlockPairs pairs;
  float minima[kMostCodedRuns][kLanes];          // weighted sums of minima
  float sums[kMostCodedRuns][kVectors][kLanes];  // of scale · code, in the order of products
};

// Weight · scale of a group's positions; adds up minima and finds the largest product.
OPTPIPE_VNNI_INLINE void weigh_pairs(const std::uint32_t* pairs, const __m512 (&weights)[kParts],
                                     float* minima, __m512 (&products)[kParts], __m512& most) {
  __m512 minimum = _mm512_load_ps(minima);
  for (std::int64_t v = 0; v < kParts; ++v) {
    const __m512i pair = _mm512_load_si512(pairs + v * kLanes);
    minimum = _mm512_fmadd_ps(weights[v], minima_of(pair), minimum);
    products[v] = _mm512_mul_ps(weights[v], scales_of(pair));
    most = _mm512_max_ps(products[v], most);  // that of a NaN is `most`
  }
  _mm512_store_ps(minima, minimum);
}

// Products as digits: of each four positions the highest digit of all, then the next, then the lowest.
OPTPIPE_VNNI_INLINE void split_products(const __m512 (&products)[kParts], float factor,
                                        std::int32_t (&digits)[kBlock]) {
  const __m512i order =
      _mm512_broadcast_i32x4(_mm_setr_epi8(2, 6, 10, 14, 1, 5, 9, 13, 0, 4, 8, 12, 3, 7, 11, 15));
  for (std::int64_t v = 0; v < kParts; ++v) {
    const __m512i number = _mm512_cvtps_epi32(_mm512_mul_ps(products[v], _mm512_set1_ps(factor)));
    _mm512_store_si512(digits + v * kLanes, _mm512_shuffle_epi8(digits_of(number), order));
  }
}

// One group of `count` positions, which are four times a number where `whole`.
template <StorageFormat format, bool whole>
OPTPIPE_VNNI_INLINE void add_group(const std::byte* codes, std::int64_t row_bytes, std::int64_t count,
                                   Coming& coming, const std::int32_t* digits, float unit,
                                   float (&sums)[kVectors][kLanes]) {
  __m512i high[kVectors], middle[kVectors], low[kVectors];
  for (std::int64_t v = 0; v < kVectors; ++v) high[v] = middle[v] = low[v] = _mm512_setzero_si512();
  for (std::int64_t t = 0; t < count; t += kQuad, digits += kQuad, codes += kQuad * row_bytes) {
    __m512i rows[kQuad];
    coming.fetch();
    for (std::int64_t i = 0; i < kQuad; ++i) {
      const std::byte* row = codes + (whole || t + i < count ? i : count - 1 - t) * row_bytes;
      rows[i] = load_codes<format>(row);
    }
    const __m512i low01 = _mm512_unpacklo_epi8(rows[0], rows[1]),
                  high01 = _mm512_unpackhi_epi8(rows[0], rows[1]);
    const __m512i low23 = _mm512_unpacklo_epi8(rows[2], rows[3]),
                  high23 = _mm512_unpackhi_epi8(rows[2], rows[3]);
    const __m512i quads[kVectors] = {_mm512_unpacklo_epi16(low01, low23), _mm512_unpackhi_epi16(low01, low23),
                                     _mm512_unpacklo_epi16(high01, high23),
                                     _mm512_unpackhi_epi16(high01, high23)};
    for (std::int64_t v = 0; v < kVectors; ++v) {
      high[v] = add_products(high[v], quads[v], _mm512_set1_epi32(digits[0]));
      middle[v] = add_products(middle[v], quads[v], _mm512_set1_epi32(digits[1]));
      low[v] = add_products(low[v], quads[v], _mm512_set1_epi32(digits[2]));
    }
  }
  const __m512 one = _mm512_set1_ps(unit), upper = _mm512_set1_ps(65536);
  for (std::int64_t v = 0; v < kVectors; ++v) {
    const __m512 lower = _mm512_cvtepi32_ps(_mm512_add_epi32(_mm512_slli_epi32(middle[v], 8), low[v]));
    const __m512 sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(high[v]), upper, lower);
    _mm512_store_ps(sums[v], _mm512_fmadd_ps(sum, one, _mm512_load_ps(sums[v])));
  }
}

template <StorageFormat format, bool whole>
OPTPIPE_VNNI_TARGET void add_block(const CodedHeads& values, Work& work, std::int64_t first,
                                   std::int64_t count, Coming coming, const float* weights,
                                   std::int64_t weights_pitch) {
  constexpr auto kBytes = static_cast<std::int64_t>(code_bytes(format, kGroupValues));
  const auto row_bytes = static_cast<std::int64_t>(values.row_bytes);
  gather_pairs(values, first, count, work.pairs);
  const std::byte* codes = values.row(first) + values.codes_at;
  const auto valid = static_cast<std::uint32_t>((std::uint64_t{1} << count) - 1);
  for (std::int64_t h = 0; h < values.heads; ++h, weights += weights_pitch) {
    const std::int64_t run = h * values.groups;
    __m512 weight[kParts], products[kMostCodedGroups][kParts], most = _mm512_setzero_ps();
    for (std::int64_t v = 0; v < kParts; ++v)
      weight[v] =
          _mm512_maskz_loadu_ps(static_cast<__mmask16>(valid >> (v * kLanes)), weights + first + v * kLanes);
    for (std::int64_t g = 0; g < values.groups; ++g)
      weigh_pairs(work.pairs[run + g], weight, work.minima[run + g], products[g], most);
    const float largest = _mm512_reduce_max_ps(most);
    if (!(largest > 0)) continue;
    const int exponent = unit_exponent(largest);
    for (std::int64_t g = 0; g < values.groups; ++g) {
      alignas(64) std::int32_t digits[kBlock];
      split_products(products[g], power_of_two(exponent), digits);
      add_group<format, whole>(codes + (run + g) * kBytes, row_bytes, count, coming, digits,
                               power_of_two(-exponent), work.sums[run + g]);
    }
  }
}

// One group: value 16 · b + 4 · v + l is lane 4 · b + l of vector v.
template <StorageFormat format>
OPTPIPE_VNNI_TARGET void store_group(const float* sums, const float* minima, float* out) {
  const __m128 minimum = _mm_set1_ps(_mm512_reduce_add_ps(_mm512_loadu_ps(minima)));
  for (std::int64_t b = 0; b < 4; ++b)
    for (std::int64_t v = 0; v < kVectors; ++v)
      _mm_storeu_ps(out + 16 * b + 4 * v, _mm_fmadd_ps(_mm_loadu_ps(sums + v * kLanes + 4 * b),
                                                       _mm_set1_ps(b < 2 ? 1.0f : kUpper<format>), minimum));
}

template <StorageFormat format>
void sum_values(const CodedHeads& values, const float* weights, std::int64_t weights_pitch,
                std::int64_t count, float* out, float* scratch) {
  auto& work = *new (scratch) Work;
  const std::int64_t runs = values.heads * values.groups;
  std::memset(work.minima, 0, static_cast<std::size_t>(runs) * sizeof *work.minima);
  std::memset(work.sums, 0, static_cast<std::size_t>(runs) * sizeof *work.sums);
  for (std::int64_t p = 0; p < count; p += kBlock) {
    const std::int64_t left = count - p;
    const Coming coming(values, p + kBlock, left > kBlock ? smaller(kBlock, left - kBlock) : 0,
                        runs * kBlock / kQuad);
    if (left >= kBlock)
      add_block<format, true>(values, work, p, kBlock, coming, weights, weights_pitch);
    else
      add_block<format, false>(values, work, p, left, coming, weights, weights_pitch);
  }
  for (std::int64_t i = 0; i < runs; ++i)
    store_group<format>(work.sums[i][0], work.minima[i], out + i * kGroupValues);
}

}  // namespace
}  // namespace vnni

std::int64_t coded_sums_scratch() { return sizeof(vnni::Work) / sizeof(float); }

void coded_sums(const CodedHeads& values, const float* weights, std::int64_t weights_pitch,
                std::int64_t count, float* out, float* scratch) {
  OPTPIPE_CHECK(values.can_be_coded(), "{} heads of {} groups", values.heads, values.groups);
  return values.format == StorageFormat::q4
             ? vnni::sum_values<StorageFormat::q4>(values, weights, weights_pitch, count, out, scratch)
             : vnni::sum_values<StorageFormat::q8>(values, weights, weights_pitch, count, out, scratch);
}

}  // namespace optpipe::kernels
#endif
