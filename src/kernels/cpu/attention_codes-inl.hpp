// Quantized keys and values widened straight into registers, for decode.
#if defined(OPTPIPE_KERNELS_CPU_ATTENTION_CODES_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef OPTPIPE_KERNELS_CPU_ATTENTION_CODES_INL_HPP
#undef OPTPIPE_KERNELS_CPU_ATTENTION_CODES_INL_HPP
#else
#define OPTPIPE_KERNELS_CPU_ATTENTION_CODES_INL_HPP
#endif

#include <algorithm>

#include "kernels/cpu/dot_tile-inl.hpp"
#include "kernels/cpu/quantized-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace optpipe::kernels::HWY_NAMESPACE {

constexpr std::int64_t kGroupVectors = kGroupValues / kLanes;

// Part of rows of `runs` runs: whole groups of some consecutive runs (heads). The pairs of a few rows are
// widened ahead of their codes.
struct CodeRows {
  const std::byte* data;  // rows
  Bytes row_bytes, codes_at, pairs_at;
  std::int64_t runs, groups;  // in the part, in a run
  float* pairs;               // scratch: minimum, scale of each group, `pairs_pitch` a row
  std::int64_t pairs_pitch;

  const std::byte* row(std::int64_t position) const {
    return data + static_cast<Bytes>(position) * row_bytes;
  }
  HWY_ATTR void widen_pairs(std::int64_t position, std::int64_t slot) const {
    widen(reinterpret_cast<const hwy::float16_t*>(row(position) + pairs_at), 2 * runs * groups,
          pairs + slot * pairs_pitch, pairs_pitch);
  }
};

// 64 values, with the bits of widen_group. With 16 lanes the 16 values that 4 bits can mean are one register.
template <StorageFormat format>
HWY_ATTR HWY_INLINE void widen_in_registers(const std::byte* codes, const float* pair,
                                            Vector (&values)[kGroupVectors]) {
  const Floats d;
  const Bits u;
  const Vector minimum = hn::Set(d, pair[0]), scale = hn::Set(d, pair[1]);
  if constexpr (format == StorageFormat::q8) {
    for (std::int64_t i = 0; i < kGroupVectors; ++i)
      values[i] = value_of(d, load_codes(d, codes + i * kLanes), minimum, scale);
  } else if constexpr (kLanes == 16) {
    const Vector all = hn::MulAdd(hn::Iota(d, 0.0f), scale, minimum);
    for (std::int64_t i = 0; i < kGroupVectors / 2; ++i) {
      const auto code = load_codes(d, codes + i * kLanes);
      values[i] = hn::TableLookupLanes(all, hn::IndicesFromVec(d, hn::And(code, hn::Set(u, 15u))));
      values[kGroupVectors / 2 + i] =
          hn::TableLookupLanes(all, hn::IndicesFromVec(d, hn::ShiftRight<4>(code)));
    }
  } else {
    for (std::int64_t i = 0; i < kGroupVectors / 2; ++i) {
      const auto code = load_codes(d, codes + i * kLanes);
      values[i] = value_of(d, hn::And(code, hn::Set(u, 15u)), minimum, scale);
      values[kGroupVectors / 2 + i] = value_of(d, hn::ShiftRight<4>(code), minimum, scale);
    }
  }
}

// scores[run, 0 .. 4) = x[run] · row first + 0 .. 3, positions behind `last` as `last`; with the bits of
// dot_tile over widened rows. x [run, x_pitch].
template <StorageFormat format>
HWY_ATTR void dot_codes(const CodeRows& rows, const float* x, std::int64_t x_pitch, std::int64_t first,
                        std::int64_t last, float* scores, std::int64_t scores_pitch) {
  constexpr Bytes kGroupBytes = code_bytes(format, kGroupValues);
  const Bytes run_bytes = static_cast<Bytes>(rows.groups) * kGroupBytes;
  const std::byte* codes[kTileColumns];
  for (std::int64_t c = 0; c < kTileColumns; ++c) {
    rows.widen_pairs(std::min(first + c, last), c);
    codes[c] = rows.row(std::min(first + c, last)) + rows.codes_at;
  }
  const auto ahead = static_cast<std::int64_t>(2 * kTileColumns * rows.row_bytes);
  for (std::int64_t r = 0; r < rows.runs; ++r) {
    Vector acc[kTileColumns];
    for (auto& sum : acc) sum = hn::Zero(Floats());
    for (std::int64_t g = 0; g < rows.groups; ++g) {
      const Bytes at = static_cast<Bytes>(r) * run_bytes + static_cast<Bytes>(g) * kGroupBytes;
      const float* part = x + r * x_pitch + g * kGroupValues;
      for (std::int64_t c = 0; c < kTileColumns; ++c) {
        fetch_ahead(codes[c] + at, ahead);
        Vector values[kGroupVectors];
        widen_in_registers<format>(codes[c] + at,
                                   rows.pairs + c * rows.pairs_pitch + 2 * (r * rows.groups + g), values);
        for (std::int64_t i = 0; i < kGroupVectors; ++i)
          acc[c] = hn::MulAdd(load(part + i * kLanes), values[i], acc[c]);
      }
    }
    hn::StoreU(reduce4(acc[0], acc[1], acc[2], acc[3]), Quad(), scores + r * scores_pitch);
  }
}

// sums[run] += weights[run, i] · row first + i for i < count in order, with the bits of add_weighted over
// widened rows.
template <StorageFormat format>
HWY_ATTR void add_weighted_codes(const CodeRows& rows, const float* weights, std::int64_t weights_pitch,
                                 std::int64_t first, std::int64_t count, float* sums,
                                 std::int64_t sums_pitch) {
  const Floats d;
  constexpr Bytes kGroupBytes = code_bytes(format, kGroupValues);
  const Bytes run_bytes = static_cast<Bytes>(rows.groups) * kGroupBytes;
  const auto ahead = static_cast<std::int64_t>(static_cast<Bytes>(count) * rows.row_bytes);
  for (std::int64_t i = 0; i < count; ++i) rows.widen_pairs(first + i, i);
  for (std::int64_t r = 0; r < rows.runs; ++r) {
    for (std::int64_t g = 0; g < rows.groups; ++g) {
      const Bytes at =
          rows.codes_at + static_cast<Bytes>(r) * run_bytes + static_cast<Bytes>(g) * kGroupBytes;
      float* to = sums + r * sums_pitch + g * kGroupValues;
      Vector acc[kGroupVectors];
      for (std::int64_t v = 0; v < kGroupVectors; ++v) acc[v] = hn::Load(d, to + v * kLanes);
      for (std::int64_t i = 0; i < count; ++i) {
        const std::byte* codes = rows.row(first + i) + at;
        fetch_ahead(codes, ahead);
        Vector values[kGroupVectors];
        widen_in_registers<format>(codes, rows.pairs + i * rows.pairs_pitch + 2 * (r * rows.groups + g),
                                   values);
        const Vector weight = hn::Set(d, weights[r * weights_pitch + i]);
        for (std::int64_t v = 0; v < kGroupVectors; ++v) acc[v] = hn::MulAdd(weight, values[v], acc[v]);
      }
      for (std::int64_t v = 0; v < kGroupVectors; ++v) hn::Store(acc[v], d, to + v * kLanes);
    }
  }
}

}  // namespace optpipe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
