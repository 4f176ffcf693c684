// Vector building blocks of all kernels, compiled once a vector target.
#if defined(OPTPIPE_KERNELS_CPU_VECTOR_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef OPTPIPE_KERNELS_CPU_VECTOR_INL_HPP
#undef OPTPIPE_KERNELS_CPU_VECTOR_INL_HPP
#else
#define OPTPIPE_KERNELS_CPU_VECTOR_INL_HPP
#endif

#include <hwy/highway.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "optpipe/base/dtype.hpp"

// Highway 1.0's half precision is neither complete (infinities) nor rounding without F16C.
#undef OPTPIPE_NATIVE_HALF
#if HWY_TARGET != HWY_EMU128 && !(HWY_ARCH_X86 && HWY_TARGET > HWY_AVX2)
#define OPTPIPE_NATIVE_HALF 1
#else
#define OPTPIPE_NATIVE_HALF 0
#endif

HWY_BEFORE_NAMESPACE();
namespace optpipe::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::ScalableTag<float>;
using Bits = hn::RebindToUnsigned<Floats>;
using Vector = hn::Vec<Floats>;
using Quad = hn::FixedTag<float, 4>;  // what reduce4 returns
constexpr std::int64_t kLanes = static_cast<std::int64_t>(hn::MaxLanes(Floats()));

// Exact widening of kLanes elements.
HWY_ATTR HWY_INLINE Vector load(const float* from) { return hn::LoadU(Floats(), from); }

HWY_ATTR HWY_INLINE Vector load(const hwy::bfloat16_t* from) {
  const Floats d;
  const hn::Rebind<std::uint16_t, Floats> narrow;
  const auto bits = hn::LoadU(narrow, reinterpret_cast<const std::uint16_t*>(from));
  return hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(Bits(), bits)));
}

HWY_ATTR HWY_INLINE Vector load(const hwy::float16_t* from) {
  const Floats d;
#if OPTPIPE_NATIVE_HALF
  return hn::PromoteTo(d, hn::LoadU(hn::Rebind<hwy::float16_t, Floats>(), from));
#else
  const Bits u;
  const hn::Rebind<std::uint16_t, Floats> narrow;
  const auto half = hn::PromoteTo(u, hn::LoadU(narrow, reinterpret_cast<const std::uint16_t*>(from)));
  const auto sign = hn::ShiftLeft<16>(hn::And(half, hn::Set(u, 0x8000u)));
  const auto magnitude = hn::And(half, hn::Set(u, 0x7fffu));
  const auto shifted = hn::ShiftLeft<13>(magnitude);
  const auto normal = hn::Add(shifted, hn::Set(u, 112u << 23));
  const auto special =
      hn::Add(shifted, hn::Set(u, 224u << 23));  // infinity and NaN keep the highest exponent
  // Subnormal: mantissa · 2^-24, as the difference of two normal numbers.
  const auto tiny = hn::BitCast(u, hn::Sub(hn::BitCast(d, hn::Or(shifted, hn::Set(u, 113u << 23))),
                                           hn::BitCast(d, hn::Set(u, 113u << 23))));
  const hn::RebindToSigned<Floats> i;
  const auto magnitude_i = hn::BitCast(i, magnitude);
  const auto is_special = hn::RebindMask(u, hn::Gt(magnitude_i, hn::Set(i, 0x7bff)));
  const auto is_tiny = hn::RebindMask(u, hn::Lt(magnitude_i, hn::Set(i, 0x0400)));
  const auto wide = hn::IfThenElse(is_tiny, tiny, hn::IfThenElse(is_special, special, normal));
  return hn::BitCast(d, hn::Or(sign, wide));
#endif
}

// The first `count` < kLanes elements, then zeros.
template <class T>
HWY_ATTR HWY_INLINE Vector load_first(const T* from, std::int64_t count) {
  HWY_ALIGN T buffer[kLanes];
  std::memset(static_cast<void*>(buffer), 0, sizeof buffer);
  std::memcpy(static_cast<void*>(buffer), from, static_cast<std::size_t>(count) * sizeof(T));
  return load(buffer);
}

// The first `count` < kLanes lanes.
HWY_ATTR HWY_INLINE void store_first(Vector v, float* to, std::int64_t count) {
  HWY_ALIGN float buffer[kLanes];
  hn::Store(v, Floats(), buffer);
  std::memcpy(to, buffer, static_cast<std::size_t>(count) * sizeof(float));
}

// to[0 .. padded) = count elements, then zeros; `to` is aligned, `padded` a multiple of kLanes.
template <class T>
HWY_ATTR HWY_INLINE void widen(const T* from, std::int64_t count, float* to, std::int64_t padded) {
  const Floats d;
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) hn::Store(load(from + i), d, to + i);
  if (i < count) {
    hn::Store(load_first(from + i, count - i), d, to + i);
    i += kLanes;
  }
  for (; i < padded; i += kLanes) hn::Store(hn::Zero(d), d, to + i);
}

// The same for elements of any format; `from` may be null if count is 0.
HWY_ATTR inline void widen_any(const std::byte* from, DType type, std::int64_t count, float* to,
                               std::int64_t padded) {
  switch (type) {
    case DType::f32:
      return widen(reinterpret_cast<const float*>(from), count, to, padded);
    case DType::f16:
      return widen(reinterpret_cast<const hwy::float16_t*>(from), count, to, padded);
    case DType::bf16:
      return widen(reinterpret_cast<const hwy::bfloat16_t*>(from), count, to, padded);
  }
}

// The sum of a vector's blocks of four lanes: halves are added until one is left.
template <class D, class V>
HWY_ATTR HWY_INLINE hn::Vec<Quad> sum_of_blocks(D d, V v) {
  if constexpr (hn::MaxLanes(d) == 4) {
    return v;
  } else {
    const hn::Half<D> half;
    return sum_of_blocks(half, hn::Add(hn::LowerHalf(half, v), hn::UpperHalf(half, v)));
  }
}

// {sum of a's lanes, b's, c's, d's}. Additions commute, so each sum has the same bits in every position.
HWY_ATTR HWY_INLINE hn::Vec<Quad> reduce4(Vector a, Vector b, Vector c, Vector d) {
  const Floats f;
  const hn::Repartition<std::uint64_t, Floats> wide;
  const auto ab = hn::BitCast(wide, hn::Add(hn::InterleaveLower(f, a, b), hn::InterleaveUpper(f, a, b)));
  const auto cd = hn::BitCast(wide, hn::Add(hn::InterleaveLower(f, c, d), hn::InterleaveUpper(f, c, d)));
  const auto blocks = hn::Add(hn::BitCast(f, hn::InterleaveLower(wide, ab, cd)),
                              hn::BitCast(f, hn::InterleaveUpper(wide, ab, cd)));
  return sum_of_blocks(f, blocks);
}

HWY_ATTR HWY_INLINE float sum_of_lanes(Vector v) {
  const auto zero = hn::Zero(Floats());
  return hn::GetLane(reduce4(v, zero, zero, zero));
}

}  // namespace optpipe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
