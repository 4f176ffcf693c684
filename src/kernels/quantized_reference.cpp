// The definition of group-wise quantization.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/group_range.hpp"
#include "optpipe/kernels/quantized.hpp"

namespace optpipe::kernels::reference {
namespace {

// Where code i of a group of n stands.
struct Place {
  std::int64_t byte = 0;
  int shift = 0;
};
Place place_of(StorageFormat format, std::int64_t i, std::int64_t n) {
  if (format == StorageFormat::q8) return {i, 0};
  const std::int64_t half = (n + 1) / 2;
  return i < half ? Place{i, 0} : Place{i - half, 4};
}

// Calls visit(first value, count, codes, pair) for each group of a row.
template <class Codes, class Visit>
void for_each_group(const RowFormat& format, std::int64_t runs, Codes* row, Visit visit) {
  Codes* codes = row;
  Codes* pair = row + format.pairs_offset(runs);
  for (std::int64_t r = 0; r < runs; ++r) {
    for (std::int64_t g = 0; g < format.groups(); ++g) {
      const std::int64_t n = format.values_of_group(g);
      visit(r * format.run + g * kGroupValues, n, codes, pair);
      codes += code_bytes(format.format, n);
      pair += kGroupPairBytes;
    }
  }
}

}  // namespace

void quantize(const RowFormat& format, std::int64_t runs, const float* from, std::byte* to) {
  const int largest = largest_code(format.format);
  for_each_group(format, runs, to, [&](std::int64_t first, std::int64_t n, std::byte* codes, std::byte* at) {
    const float* values = from + first;
    const auto saturated = [&](std::int64_t i) {
      return std::clamp(values[i], -kLargestQuantized, kLargestQuantized);
    };
    const bool broken = std::any_of(values, values + n, [](float v) { return std::isnan(v); });
    GroupPair pair{kHalfNan, 0};
    if (!broken) {
      float least = saturated(0), most = least;
      for (std::int64_t i = 1; i < n; ++i) {
        least = std::min(least, saturated(i));
        most = std::max(most, saturated(i));
      }
      pair = pair_of(least, most, largest);
    }
    std::memcpy(at, &pair, sizeof pair);
    std::fill_n(codes, code_bytes(format.format, n), std::byte{0});
    if (broken) return;
    const float minimum = half_to_float(pair.minimum), inverse = inverse_of(pair);
    for (std::int64_t i = 0; i < n; ++i) {
      const float steps = std::rint((saturated(i) - minimum) * inverse);
      const int code = std::clamp(static_cast<int>(steps), 0, largest);
      const Place place = place_of(format.format, i, n);
      codes[place.byte] |= static_cast<std::byte>(code << place.shift);
    }
  });
}

void dequantize(const RowFormat& format, std::int64_t runs, const std::byte* from, float* to) {
  for_each_group(format, runs, from,
                 [&](std::int64_t first, std::int64_t n, const std::byte* codes, const std::byte* at) {
                   GroupPair pair;
                   std::memcpy(&pair, at, sizeof pair);
                   const float minimum = half_to_float(pair.minimum), scale = half_to_float(pair.scale);
                   for (std::int64_t i = 0; i < n; ++i) {
                     const Place place = place_of(format.format, i, n);
                     const int code =
                         std::to_integer<int>(codes[place.byte]) >> place.shift & largest_code(format.format);
                     to[first + i] = minimum + scale * static_cast<float>(code);
                   }
                 });
}

}  // namespace optpipe::kernels::reference
