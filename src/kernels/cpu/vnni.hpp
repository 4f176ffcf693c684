// The instructions of coded_*_vnni.cpp. Functions carry the target one by one: compiled for a whole file it
// would spread to inline functions that the linker shares with code for any core.
#pragma once

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define OPTPIPE_VNNI 1
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "optpipe/base/storage_format.hpp"

#define OPTPIPE_VNNI_TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,fma,f16c")))
#define OPTPIPE_VNNI_INLINE OPTPIPE_VNNI_TARGET __attribute__((always_inline)) inline

namespace optpipe::kernels::vnni {

inline constexpr std::int64_t kLanes = 16;

// The 64 codes of a group, as unsigned bytes. Of 4-bit codes the upper half (values 32 .. 63) is 16 times the
// code: a mask takes the place of a shift, and kUpper makes up for it at the end.
template <StorageFormat format>
OPTPIPE_VNNI_INLINE __m512i load_codes(const std::byte* from) {
  if constexpr (format == StorageFormat::q8) return _mm512_loadu_si512(from);
  const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  const __m512i mask =
      _mm512_inserti64x4(_mm512_set1_epi8(0x0f), _mm256_set1_epi8(static_cast<char>(0xf0)), 1);
  return _mm512_and_si512(_mm512_broadcast_i64x4(bytes), mask);
}
template <StorageFormat format>
constexpr float kUpper = format == StorageFormat::q4 ? 1.0f / 16 : 1.0f;

// Numbers below 2^22 in size as signed digits: bytes 0, 1 and 2 of a lane times 1, 2^8 and 2^16.
OPTPIPE_VNNI_INLINE __m512i digits_of(__m512i numbers) {
  const __m512i half = _mm512_set1_epi32(0x8080);
  return _mm512_xor_si512(_mm512_add_epi32(numbers, half), half);
}

// sum + the products of unsigned and signed bytes, four of them a lane. g++ 12 surrounds the intrinsic, whose
// first operand is overwritten, by copies that cost as much as the products.
OPTPIPE_VNNI_INLINE __m512i add_products(__m512i sum, __m512i codes, __m512i digits) {
  asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(codes), "v"(digits));
  return sum;
}

// Asks for a line into the second-level cache; `from` need not be memory at all.
OPTPIPE_VNNI_INLINE void fetch_line(const std::byte* from) {
  _mm_prefetch(reinterpret_cast<const char*>(from), _MM_HINT_T1);
}

// 2^exponent, -126 .. 127.
OPTPIPE_VNNI_INLINE float power_of_two(int exponent) {
  return _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128((exponent + 127) << 23)));
}

// The exponent e for which largest · 2^e lies in [2^21, 2^22) or, for the smallest numbers, below.
OPTPIPE_VNNI_INLINE int unit_exponent(float largest) {
  const int exponent = (_mm_cvtsi128_si32(_mm_castps_si128(_mm_set_ss(largest))) >> 23 & 0xff) - 127;
  const int wanted = 21 - exponent;
  return wanted < 126 ? wanted : 126;
}

}  // namespace optpipe::kernels::vnni
#endif
