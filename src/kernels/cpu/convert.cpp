#include "kernels/cpu/targets.hpp"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/convert.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/cpu/vector-inl.hpp"
#include "optpipe/kernels/cpu.hpp"

HWY_BEFORE_NAMESPACE();
namespace optpipe::kernels::HWY_NAMESPACE {
namespace {

using Narrow = hn::Rebind<std::uint16_t, Floats>;
using NarrowVector = hn::Vec<Narrow>;

// The two below follow base/dtype.cpp step by step.
HWY_ATTR HWY_INLINE NarrowVector to_bfloat16(Vector v) {
  const Bits u;
  const hn::RebindToSigned<Floats> i;
  const auto bits = hn::BitCast(u, v);
  const auto high = hn::ShiftRight<16>(bits);
  const auto is_nan = hn::Gt(hn::BitCast(i, hn::And(bits, hn::Set(u, 0x7fffffffu))), hn::Set(i, 0x7f800000));
  const auto quiet = hn::Or(high, hn::Set(u, 0x40u));
  const auto odd = hn::And(high, hn::Set(u, 1u));
  const auto rounded = hn::ShiftRight<16>(hn::Add(hn::Add(bits, hn::Set(u, 0x7fffu)), odd));
  return hn::DemoteTo(Narrow(), hn::BitCast(i, hn::IfThenElse(hn::RebindMask(u, is_nan), quiet, rounded)));
}

HWY_ATTR HWY_INLINE NarrowVector to_half(Vector v) {
#if OPTPIPE_NATIVE_HALF
  return hn::BitCast(Narrow(), hn::DemoteTo(hn::Rebind<hwy::float16_t, Floats>(), v));
#else
  const Floats d;
  const Bits u;
  const hn::RebindToSigned<Floats> i;
  const auto bits = hn::BitCast(u, v);
  const auto sign = hn::And(hn::ShiftRight<16>(bits), hn::Set(u, 0x8000u));
  const auto magnitude = hn::And(bits, hn::Set(u, 0x7fffffffu));
  const auto magnitude_i = hn::BitCast(i, magnitude);
  const auto odd = hn::And(hn::ShiftRight<13>(magnitude), hn::Set(u, 1u));
  const auto rounded = hn::Add(hn::Add(magnitude, hn::Set(u, 0xfffu)), odd);
  const auto normal = hn::ShiftRight<13>(hn::Sub(rounded, hn::Set(u, 0x38000000u)));
  const auto aligned = hn::BitCast(u, hn::Add(hn::BitCast(d, magnitude), hn::Set(d, 0.5f)));
  const auto tiny = hn::Sub(aligned, hn::Set(u, 0x3f000000u));
  const auto is_tiny = hn::RebindMask(u, hn::Lt(magnitude_i, hn::Set(i, 0x38800000)));
  const auto is_infinite = hn::RebindMask(u, hn::Gt(magnitude_i, hn::Set(i, 0x477fefff)));
  const auto is_nan = hn::RebindMask(u, hn::Gt(magnitude_i, hn::Set(i, 0x7f800000)));
  auto half = hn::IfThenElse(is_tiny, tiny, normal);
  half = hn::IfThenElse(is_infinite, hn::Set(u, 0x7c00u), half);
  half = hn::IfThenElse(is_nan, hn::Set(u, 0x7e00u), half);
  return hn::DemoteTo(Narrow(), hn::BitCast(i, hn::Or(sign, half)));
#endif
}

template <class T>
HWY_ATTR void widen_all(const T* from, float* out, std::int64_t count) {
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) hn::StoreU(load(from + i), Floats(), out + i);
  if (i < count) store_first(load_first(from + i, count - i), out + i, count - i);
}

template <bool bfloat16>
HWY_ATTR HWY_INLINE NarrowVector narrow(Vector v) {
  if constexpr (bfloat16)
    return to_bfloat16(v);
  else
    return to_half(v);
}

template <bool bfloat16>
HWY_ATTR void narrow_all(const float* from, std::byte* out, std::int64_t count) {
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes)
    hn::StoreU(narrow<bfloat16>(load(from + i)), Narrow(), reinterpret_cast<std::uint16_t*>(out) + i);
  if (i == count) return;
  HWY_ALIGN std::uint16_t last[kLanes];
  hn::Store(narrow<bfloat16>(load_first(from + i, count - i)), Narrow(), last);
  std::memcpy(out + 2 * i, last, 2 * static_cast<std::size_t>(count - i));
}

HWY_ATTR void widen_half(const std::byte* from, float* out, std::int64_t count) {
  widen_all(reinterpret_cast<const hwy::float16_t*>(from), out, count);
}
HWY_ATTR void widen_bfloat16(const std::byte* from, float* out, std::int64_t count) {
  widen_all(reinterpret_cast<const hwy::bfloat16_t*>(from), out, count);
}
HWY_ATTR void narrow_half(const float* from, std::byte* out, std::int64_t count) {
  narrow_all<false>(from, out, count);
}
HWY_ATTR void narrow_bfloat16(const float* from, std::byte* out, std::int64_t count) {
  narrow_all<true>(from, out, count);
}

const char* target_name() { return hwy::TargetName(HWY_TARGET); }

}  // namespace
}  // namespace optpipe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace optpipe::kernels {
namespace {

HWY_EXPORT(widen_half);
HWY_EXPORT(widen_bfloat16);
HWY_EXPORT(narrow_half);
HWY_EXPORT(narrow_bfloat16);
HWY_EXPORT(target_name);

}  // namespace

void to_float(const std::byte* from, DType type, float* out, std::int64_t count) {
  if (count <= 0) return;
  switch (type) {
    case DType::f32:
      std::memmove(out, from, static_cast<std::size_t>(count) * sizeof(float));
      return;
    case DType::f16:
      return HWY_DYNAMIC_DISPATCH(widen_half)(from, out, count);
    case DType::bf16:
      return HWY_DYNAMIC_DISPATCH(widen_bfloat16)(from, out, count);
  }
}

void from_float(const float* from, std::byte* out, DType type, std::int64_t count) {
  if (count <= 0) return;
  switch (type) {
    case DType::f32:
      std::memmove(out, from, static_cast<std::size_t>(count) * sizeof(float));
      return;
    case DType::f16:
      return HWY_DYNAMIC_DISPATCH(narrow_half)(from, out, count);
    case DType::bf16:
      return HWY_DYNAMIC_DISPATCH(narrow_bfloat16)(from, out, count);
  }
}

const char* vector_target() { return HWY_DYNAMIC_DISPATCH(target_name)(); }

}  // namespace optpipe::kernels
#endif
