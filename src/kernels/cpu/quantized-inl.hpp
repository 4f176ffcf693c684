// Groups of codes to numbers in registers or scratch, and back.
#if defined(OPTPIPE_KERNELS_CPU_QUANTIZED_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef OPTPIPE_KERNELS_CPU_QUANTIZED_INL_HPP
#undef OPTPIPE_KERNELS_CPU_QUANTIZED_INL_HPP
#else
#define OPTPIPE_KERNELS_CPU_QUANTIZED_INL_HPP
#endif

#include <algorithm>
#include <cmath>

#include "kernels/cpu/vector-inl.hpp"
#include "kernels/group_range.hpp"
#include "optpipe/kernels/quantized.hpp"

HWY_BEFORE_NAMESPACE();
namespace optpipe::kernels::HWY_NAMESPACE {

// A group's minimum and scale, widened.
struct Range {
  float minimum, scale;
};
HWY_ATTR HWY_INLINE Range range_at(const std::byte* pair) {
  GroupPair bits;
  std::memcpy(&bits, pair, sizeof bits);
  return {half_to_float(bits.minimum), half_to_float(bits.scale)};
}

// As many bytes as D has lanes, as numbers.
template <class D>
HWY_ATTR HWY_INLINE hn::Vec<hn::RebindToUnsigned<D>> load_codes(D, const std::byte* from) {
  const hn::RebindToUnsigned<D> wide;
  const hn::Rebind<std::uint8_t, D> narrow;
  return hn::PromoteTo(wide, hn::LoadU(narrow, reinterpret_cast<const std::uint8_t*>(from)));
}

// The product is exact, so that a fused multiply-add changes nothing.
template <class D, class V>
HWY_ATTR HWY_INLINE hn::Vec<D> value_of(D d, V code, hn::Vec<D> minimum, hn::Vec<D> scale) {
  const hn::RebindToSigned<D> i;
  return hn::MulAdd(hn::ConvertTo(d, hn::BitCast(i, code)), scale, minimum);
}

// The first `count` bytes of a group's codes, a multiple of D's lanes: to[0 .. count) = their low parts and,
// with 4 bits, to[half .. half + count) = their high ones.
template <StorageFormat format, class D>
HWY_ATTR HWY_INLINE void widen_codes(D d, const std::byte* codes, std::int64_t count, std::int64_t half,
                                     Range range, float* to) {
  const auto lanes = static_cast<std::int64_t>(hn::MaxLanes(d));
  const hn::RebindToUnsigned<D> u;
  const auto minimum = hn::Set(d, range.minimum), scale = hn::Set(d, range.scale);
  for (std::int64_t i = 0; i < count; i += lanes) {
    const auto code = load_codes(d, codes + i);
    if constexpr (format == StorageFormat::q8) {
      hn::StoreU(value_of(d, code, minimum, scale), d, to + i);
    } else {
      hn::StoreU(value_of(d, hn::And(code, hn::Set(u, 15u)), minimum, scale), d, to + i);
      hn::StoreU(value_of(d, hn::ShiftRight<4>(code), minimum, scale), d, to + half + i);
    }
  }
}

// A group of n values.
template <StorageFormat format>
HWY_ATTR HWY_INLINE void widen_group(const std::byte* codes, const std::byte* pair, std::int64_t n,
                                     float* to) {
  const Range range = range_at(pair);
  const auto bytes = static_cast<std::int64_t>(code_bytes(format, n));
  if (n == kGroupValues) return widen_codes<format>(Floats(), codes, bytes, bytes, range, to);
  const std::int64_t whole = n % 2 == 0 ? bytes / 4 * 4 : 0;
  widen_codes<format>(Quad(), codes, whole, bytes, range, to);
  for (std::int64_t i = whole; i < bytes; ++i) {
    const auto code = std::to_integer<unsigned>(codes[i]);
    to[i] = range.minimum + range.scale * static_cast<float>(format == StorageFormat::q8 ? code : code & 15u);
    if (format == StorageFormat::q4 && bytes + i < n)
      to[bytes + i] = range.minimum + range.scale * static_cast<float>(code >> 4);
  }
}

// Values [first, first + count) of a run, `first` a multiple of a group, `count` too or up to the run's end.
template <StorageFormat format>
HWY_ATTR HWY_INLINE void widen_run(const RowFormat& row, const std::byte* codes, const std::byte* pairs,
                                   std::int64_t first, std::int64_t count, float* to) {
  const std::int64_t begin = first / kGroupValues, end = (first + count + kGroupValues - 1) / kGroupValues;
  for (std::int64_t g = begin; g < end; ++g)
    widen_group<format>(codes + static_cast<Bytes>(g) * code_bytes(format, kGroupValues),
                        pairs + static_cast<Bytes>(g) * kGroupPairBytes, row.values_of_group(g),
                        to + (g - begin) * kGroupValues);
}

// Run `index` of a row of `runs` runs, the same part of it.
HWY_ATTR inline void widen_quantized(const RowFormat& row, std::int64_t runs, const std::byte* data,
                                     std::int64_t index, std::int64_t first, std::int64_t count, float* to) {
  const std::byte* codes = data + static_cast<Bytes>(index) * row.run_code_bytes();
  const std::byte* pairs =
      data + row.pairs_offset(runs) + static_cast<Bytes>(index * row.groups()) * kGroupPairBytes;
  if (row.format == StorageFormat::q8)
    widen_run<StorageFormat::q8>(row, codes, pairs, first, count, to);
  else
    widen_run<StorageFormat::q4>(row, codes, pairs, first, count, to);
}

// Least and most of 64 saturated numbers; false where one is NaN.
HWY_ATTR HWY_INLINE bool range_of(const float* values, float& least, float& most) {
  const Floats d;
  const Vector limit = hn::Set(d, kLargestQuantized), lowest = hn::Set(d, -kLargestQuantized);
  Vector low = limit, high = lowest;
  auto numbers = hn::Eq(limit, limit);
  for (std::int64_t i = 0; i < kGroupValues; i += kLanes) {
    const Vector v = hn::LoadU(d, values + i);
    numbers = hn::And(numbers, hn::Eq(v, v));
    const Vector inside = hn::Max(hn::Min(v, limit), lowest);
    low = hn::Min(low, inside);
    high = hn::Max(high, inside);
  }
  if (!hn::AllTrue(d, numbers)) return false;
  HWY_ALIGN float lows[kLanes], highs[kLanes];
  hn::Store(low, d, lows);
  hn::Store(high, d, highs);
  least = *std::min_element(lows, lows + kLanes);
  most = *std::max_element(highs, highs + kLanes);
  return true;
}

// The codes of kLanes numbers.
HWY_ATTR HWY_INLINE hn::Vec<hn::RebindToSigned<Floats>> codes_of(const float* values, Vector minimum,
                                                                 Vector inverse, int largest) {
  const Floats d;
  const hn::RebindToSigned<Floats> i;
  const Vector limit = hn::Set(d, kLargestQuantized), lowest = hn::Set(d, -kLargestQuantized);
  const Vector inside = hn::Max(hn::Min(hn::LoadU(d, values), limit), lowest);
  const auto code = hn::NearestInt(hn::Mul(hn::Sub(inside, minimum), inverse));
  return hn::Max(hn::Min(code, hn::Set(i, largest)), hn::Zero(i));
}

// 64 numbers; those of a shorter group are padded with its last one, which changes neither range nor codes.
template <StorageFormat format>
HWY_ATTR HWY_INLINE void narrow_group(const float* values, std::int64_t n, std::byte* codes,
                                      std::byte* pair) {
  HWY_ALIGN float padded[kGroupValues];
  const std::int64_t half =
      format == StorageFormat::q4 ? static_cast<std::int64_t>(code_bytes(format, n)) : 0;
  const bool whole = n == kGroupValues;
  if (!whole) {
    std::copy_n(values, n, padded);
    std::fill(padded + n, padded + kGroupValues, values[n - 1]);
  }
  const float* const group = whole ? values : padded;
  constexpr int kLargest = largest_code(format);
  float least = 0, most = 0;
  const bool sound = range_of(group, least, most);
  const GroupPair bits = sound ? pair_of(least, most, kLargest) : GroupPair{kHalfNan, 0};
  std::memcpy(pair, &bits, sizeof bits);
  const auto bytes = static_cast<std::int64_t>(code_bytes(format, n));
  if (!sound) {
    std::fill_n(codes, bytes, std::byte{0});
    return;
  }
  const Floats d;
  const hn::Rebind<std::uint8_t, Floats> narrow;
  const Vector minimum = hn::Set(d, half_to_float(bits.minimum)), inverse = hn::Set(d, inverse_of(bits));
  HWY_ALIGN std::uint8_t packed[kGroupValues];
  HWY_ALIGN float high[kGroupValues];
  const float* upper = group + half;  // values of the high halves of bytes
  if (format == StorageFormat::q4 && !whole) {
    std::fill_n(high, kGroupValues, half_to_float(bits.minimum));
    std::copy_n(group + half, n - half, high);
    upper = high;
  }
  for (std::int64_t i = 0; i < bytes; i += kLanes) {
    auto code = codes_of(group + i, minimum, inverse, kLargest);
    if constexpr (format == StorageFormat::q4)
      code = hn::Or(code, hn::ShiftLeft<4>(codes_of(upper + i, minimum, inverse, kLargest)));
    hn::StoreU(hn::DemoteTo(narrow, code), narrow, packed + i);
  }
  std::memcpy(codes, packed, static_cast<std::size_t>(bytes));
}

template <StorageFormat format>
HWY_ATTR void narrow_row(const RowFormat& row, std::int64_t runs, const float* from, std::byte* to) {
  std::byte* codes = to;
  std::byte* pair = to + row.pairs_offset(runs);
  for (std::int64_t r = 0; r < runs; ++r, from += row.run) {
    for (std::int64_t g = 0; g < row.groups(); ++g) {
      const std::int64_t n = row.values_of_group(g);
      narrow_group<format>(from + g * kGroupValues, n, codes, pair);
      codes += code_bytes(format, n);
      pair += kGroupPairBytes;
    }
  }
}

}  // namespace optpipe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
