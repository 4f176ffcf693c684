// How rows of numbers are stored: as the model's own floating-point numbers, or quantized in groups.
//
// A row is made of runs: a weight's row is one run, a row of keys or values has a run for each head. Runs are
// quantized in groups of 64 consecutive values, the last of a run may be shorter, so that neither cutting a
// matrix between rows nor cutting keys between heads changes a bit. A group of n values keeps its minimum and
// its scale in fp16 and n codes q of 8 or 4 bits:
//
//     value = minimum + scale · q
//
// The group layout is that of FlexGen (Sheng et al., 2023, group-wise quantization). A quantized row is the
// codes of all its groups, then the (minimum, scale) pairs of all its groups. With 4 bits, byte i of a group
// holds code i in its low half and code i + ceil(n / 2) in its high half, so that widening a vector of bytes
// gives two runs of consecutive values. A row of 64 · g values takes 36 · g bytes with 4 bits, 68 · g with 8.
#pragma once

#include <cstdint>
#include <string_view>

#include "optpipe/base/dtype.hpp"
#include "optpipe/base/units.hpp"

namespace optpipe {

enum class StorageFormat : std::uint8_t { native, q8, q4 };
std::string_view name_of(StorageFormat format);  // "native", "8bit", "4bit", as on the command line

constexpr bool is_quantized(StorageFormat format) { return format != StorageFormat::native; }
// Of a quantized format: the largest code.
constexpr int largest_code(StorageFormat format) { return format == StorageFormat::q4 ? 15 : 255; }

inline constexpr std::int64_t kGroupValues = 64;
inline constexpr Bytes kGroupPairBytes = 4;  // minimum and scale

// Bytes of the codes of a group of `values`.
constexpr Bytes code_bytes(StorageFormat format, std::int64_t values) {
  return static_cast<Bytes>(format == StorageFormat::q4 ? (values + 1) / 2 : values);
}

// The format of rows made of runs of `run` values.
struct RowFormat {
  StorageFormat format = StorageFormat::native;
  DType dtype = DType::f16;  // of native values
  std::int64_t run = 0;

  constexpr std::int64_t groups() const { return (run + kGroupValues - 1) / kGroupValues; }  // of a run
  constexpr std::int64_t values_of_group(std::int64_t group) const {
    const std::int64_t left = run - group * kGroupValues;  // std::min would refer to a constant of the host
    return left < kGroupValues ? left : kGroupValues;
  }
  // Of one run, codes alone.
  constexpr Bytes run_code_bytes() const {
    return static_cast<Bytes>(run / kGroupValues) * code_bytes(format, kGroupValues) +
           code_bytes(format, run % kGroupValues);
  }
  // Where the pairs of a row of `runs` runs begin.
  constexpr Bytes pairs_offset(std::int64_t runs = 1) const {
    return static_cast<Bytes>(runs) * run_code_bytes();
  }
  constexpr Bytes row_bytes(std::int64_t runs = 1) const {
    if (!is_quantized(format)) return static_cast<Bytes>(runs * run) * size_of(dtype);
    return static_cast<Bytes>(runs) * (run_code_bytes() + static_cast<Bytes>(groups()) * kGroupPairBytes);
  }
};

}  // namespace optpipe
