#include <new>

#include "kernels/cpu/coded_heads.hpp"
#include "kernels/cpu/vnni_blocks.hpp"
#include "optpipe/base/check.hpp"

#ifdef OPTPIPE_VNNI
namespace optpipe::kernels {
namespace vnni {
namespace {

constexpr std::int64_t kDigitBytes = 3 * 64;  // of a group of q
constexpr int kQueryBits = 1;  // fewer than unit_exponent gives: four products of 8-bit codes fit 32 bits

// What lies in the scratch.
struct Work {
  alignas(64) BlockPairs pairs;
  float sums[kMostCodedRuns];                      // of q's group, in q's unit
  float units[kMostCodedRuns];                     // of each head: what 1 is worth in q's digits
  std::byte digits[kMostCodedRuns * kDigitBytes];  // [heads · groups, 3, 64]: of q, highest first
};

// Writes one head's digits and sums; false where a number is not finite.
OPTPIPE_VNNI_TARGET bool split_query(const float* q, std::int64_t groups, std::byte* digits, float* sums,
                                     float& unit) {
  __m512 most = _mm512_setzero_ps(), zeros = _mm512_setzero_ps();
  for (std::int64_t i = 0; i < groups * kGroupValues; i += kLanes) {
    const __m512 numbers = _mm512_loadu_ps(q + i);
    most = _mm512_max_ps(most, _mm512_abs_ps(numbers));
    zeros = _mm512_fmadd_ps(numbers, _mm512_setzero_ps(), zeros);  // NaN once one is infinite or NaN
  }
  if (_mm512_cmp_ps_mask(zeros, zeros, _CMP_UNORD_Q) != 0) return false;
  const int exponent = unit_exponent(_mm512_reduce_max_ps(most)) - kQueryBits;
  const __m512 factor = _mm512_set1_ps(power_of_two(exponent));
  unit = power_of_two(-exponent);
  for (std::int64_t g = 0; g < groups; ++g) {
    int sum = 0;
    for (std::int64_t i = 0; i < kGroupValues; i += kLanes) {
      const __m512i number =
          _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(q + g * kGroupValues + i), factor));
      sum += _mm512_reduce_add_epi32(number);
      const __m512i bytes = digits_of(number);
      auto* to = reinterpret_cast<__m128i*>(digits + g * kDigitBytes + i);
      _mm_storeu_si128(to, _mm512_cvtepi32_epi8(_mm512_srli_epi32(bytes, 16)));
      _mm_storeu_si128(to + 4, _mm512_cvtepi32_epi8(_mm512_srli_epi32(bytes, 8)));
      _mm_storeu_si128(to + 8, _mm512_cvtepi32_epi8(bytes));
    }
    sums[g] = static_cast<float>(sum);
  }
  return true;
}

// {sum of a's lanes, b's, c's, d's}, those of the upper half times kUpper.
template <StorageFormat format>
OPTPIPE_VNNI_INLINE __m128 sums_of(__m512 a, __m512 b, __m512 c, __m512 d) {
  const __m512d ab = _mm512_castps_pd(_mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b)));
  const __m512d cd = _mm512_castps_pd(_mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d)));
  const __m512 blocks = _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(ab, cd)),
                                      _mm512_castpd_ps(_mm512_unpackhi_pd(ab, cd)));
  const __m256 halves = _mm256_fmadd_ps(_mm512_extractf32x8_ps(blocks, 1), _mm256_set1_ps(kUpper<format>),
                                        _mm512_castps512_ps256(blocks));
  return _mm_add_ps(_mm256_castps256_ps128(halves), _mm256_extractf128_ps(halves, 1));
}

// Digits · codes of a group, four products a lane.
OPTPIPE_VNNI_INLINE __m512 product(const std::byte* digits, __m512i codes) {
  __m512i sum = add_products(_mm512_setzero_si512(), codes, _mm512_loadu_si512(digits));
  sum = add_products(_mm512_slli_epi32(sum, 8), codes, _mm512_loadu_si512(digits + 64));
  sum = add_products(_mm512_slli_epi32(sum, 8), codes, _mm512_loadu_si512(digits + 128));
  return _mm512_cvtepi32_ps(sum);
}

// The scores of one head with `count` positions of a block. `known`: groups of a head, where the compiler
// shall know them.
template <StorageFormat format, bool whole, std::int64_t known>
OPTPIPE_VNNI_INLINE void score_head(const std::byte* codes, std::int64_t row_bytes, std::int64_t count,
                                    std::int64_t some_groups, const std::uint32_t (*pairs)[kBlock],
                                    const float* sums, const std::byte* digits, float unit, Coming& coming,
                                    float* scores) {
  constexpr auto kBytes = static_cast<std::int64_t>(code_bytes(format, kGroupValues));
  const std::int64_t groups = known > 0 ? known : some_groups;
  alignas(64) float scales[kMostCodedGroups][kBlock], products[kBlock];
  __m512 minima[kParts];
  for (auto& each : minima) each = _mm512_setzero_ps();
  for (std::int64_t g = 0; g < groups; ++g)
    for (std::int64_t v = 0; v < kParts; ++v) {
      const __m512i pair = _mm512_load_si512(pairs[g] + v * kLanes);
      _mm512_store_ps(scales[g] + v * kLanes, scales_of(pair));
      minima[v] = _mm512_fmadd_ps(minima_of(pair), _mm512_set1_ps(sums[g]), minima[v]);
    }
  for (std::int64_t t = 0; t < count; t += kQuad, codes += kQuad * row_bytes) {
    coming.fetch();
    __m512 total[kQuad];
    for (auto& each : total) each = _mm512_setzero_ps();
    for (std::int64_t g = 0; g < groups; ++g)
      for (std::int64_t i = 0; i < kQuad; ++i) {
        const std::byte* row = codes + (whole || t + i < count ? i : count - 1 - t) * row_bytes;
        const __m512 sum = product(digits + g * kDigitBytes, load_codes<format>(row + g * kBytes));
        total[i] = _mm512_fmadd_ps(sum, _mm512_set1_ps(scales[g][t + i]), total[i]);
      }
    _mm_store_ps(products + t, sums_of<format>(total[0], total[1], total[2], total[3]));
  }
  const auto valid = static_cast<std::uint32_t>((std::uint64_t{1} << count) - 1);
  for (std::int64_t v = 0; v < kParts; ++v)
    _mm512_mask_storeu_ps(
        scores + v * kLanes, static_cast<__mmask16>(valid >> (v * kLanes)),
        _mm512_mul_ps(_mm512_add_ps(_mm512_load_ps(products + v * kLanes), minima[v]), _mm512_set1_ps(unit)));
}

template <StorageFormat format, bool whole, std::int64_t known>
OPTPIPE_VNNI_TARGET void score_block(const CodedHeads& keys, Work& work, std::int64_t first,
                                     std::int64_t count, Coming coming, float* scores,
                                     std::int64_t scores_pitch) {
  const auto row_bytes = static_cast<std::int64_t>(keys.row_bytes);
  gather_pairs(keys, first, count, work.pairs);
  for (std::int64_t h = 0; h < keys.heads; ++h) {
    const std::int64_t run = h * keys.groups;
    const std::byte* codes =
        keys.row(first) + keys.codes_at + static_cast<Bytes>(run) * code_bytes(format, kGroupValues);
    score_head<format, whole, known>(codes, row_bytes, count, keys.groups, work.pairs + run, work.sums + run,
                                     work.digits + run * kDigitBytes, work.units[h], coming,
                                     scores + h * scores_pitch + first);
  }
}

template <StorageFormat format, std::int64_t known>
void score_all(const CodedHeads& keys, const std::byte* values, Work& work, std::int64_t count, float* scores,
               std::int64_t pitch) {
  CodedHeads after = keys;
  after.data = values;
  for (std::int64_t p = 0; p < count; p += kBlock) {
    const std::int64_t left = count - p, next = p + kBlock;
    const std::int64_t turns = keys.heads * (smaller(left, kBlock) + kQuad - 1) / kQuad;
    const Coming coming = next < count ? Coming(keys, next, smaller(kBlock, count - next), turns)
                                       : Coming(after, 0, smaller(kBlock, count), turns);
    if (left >= kBlock)
      score_block<format, true, known>(keys, work, p, kBlock, coming, scores, pitch);
    else
      score_block<format, false, known>(keys, work, p, left, coming, scores, pitch);
  }
}

template <StorageFormat format>
void score_all(const CodedHeads& keys, const std::byte* values, Work& work, std::int64_t count, float* scores,
               std::int64_t pitch) {
  if (keys.groups == 1) return score_all<format, 1>(keys, values, work, count, scores, pitch);
  if (keys.groups == 2) return score_all<format, 2>(keys, values, work, count, scores, pitch);
  return score_all<format, 0>(keys, values, work, count, scores, pitch);
}

}  // namespace
}  // namespace vnni

std::int64_t coded_scores_scratch() { return sizeof(vnni::Work) / sizeof(float); }

bool coded_scores(const CodedHeads& keys, const std::byte* values, const float* q, std::int64_t q_pitch,
                  std::int64_t count, float* scores, std::int64_t scores_pitch, float* scratch) {
  OPTPIPE_CHECK(keys.can_be_coded(), "{} heads of {} groups", keys.heads, keys.groups);
  auto& work = *new (scratch) vnni::Work;
  for (std::int64_t h = 0; h < keys.heads; ++h) {
    const std::int64_t run = h * keys.groups;
    if (!vnni::split_query(q + h * q_pitch, keys.groups, work.digits + run * vnni::kDigitBytes,
                           work.sums + run, work.units[h]))
      return false;
  }
  if (keys.format == StorageFormat::q4)
    vnni::score_all<StorageFormat::q4>(keys, values, work, count, scores, scores_pitch);
  else
    vnni::score_all<StorageFormat::q8>(keys, values, work, count, scores, scores_pitch);
  return true;
}

}  // namespace optpipe::kernels
#endif
