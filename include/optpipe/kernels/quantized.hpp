// Group-wise quantization of rows (base/storage_format.hpp) on CPU cores: the oracle of other backends.
//
// Of a group whose values lie between `least` and `most`, the minimum is `least` rounded down to fp16 and the
// scale (most - minimum) / largest_code rounded up, so that the codes cover the group; a code is
// rint((value - minimum) / scale), in fp32. Hence, for each value,
//
//     |minimum + scale · q - value| <= scale / 2, and scale <= (1 + 2⁻¹⁰) · (most - minimum) / largest_code +
//     2⁻²⁴,
//
// to within fp32 rounding; a group of equal fp16 values is exact. Values beyond ±65280 (infinities too) count
// as ±65280, so that neither pairs nor widened values overflow fp16. One NaN makes its whole group NaN: what
// is broken stays visible.
//
// Results are the same bits on every vector target and on the GPU.
#pragma once

#include <cstddef>
#include <cstdint>

#include "optpipe/base/storage_format.hpp"

namespace optpipe::kernels {

inline constexpr float kLargestQuantized = 65280;

// One row of `runs` runs: from [runs · format.run] numbers to format.row_bytes(runs) bytes, and back (exact).
// `format` is a quantized one. Row addresses need no alignment.
void quantize(const RowFormat& format, std::int64_t runs, const float* from, std::byte* to);
void dequantize(const RowFormat& format, std::int64_t runs, const std::byte* from, float* to);

// One row in any format: from_float or quantize, to_float or dequantize (kernels/cpu.hpp).
void narrow_row(const RowFormat& format, std::int64_t runs, const float* from, std::byte* to);
void widen_row(const RowFormat& format, std::int64_t runs, const std::byte* from, float* to);

// The same as quantize and dequantize in plain loops, one number at a time: the definition.
namespace reference {
void quantize(const RowFormat& format, std::int64_t runs, const float* from, std::byte* to);
void dequantize(const RowFormat& format, std::int64_t runs, const std::byte* from, float* to);
}  // namespace reference

}  // namespace optpipe::kernels
