// Number formats of tensors, and exact scalar conversions between them. Bulk conversion: kernels/.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace optpipe {

enum class DType : std::uint8_t { f32, f16, bf16 };

constexpr std::size_t size_of(DType type) { return type == DType::f32 ? 4 : 2; }
std::string_view name_of(DType type);  // "fp32", "fp16", "bf16"

float half_to_float(std::uint16_t bits);
float bfloat16_to_float(std::uint16_t bits);
std::uint16_t float_to_half(float value);      // round to nearest even; overflow gives infinity
std::uint16_t float_to_bfloat16(float value);  // round to nearest even

// Converts `count` elements. `from` and `to` may be the same memory only where the types are equal.
void convert(const std::byte* from, DType from_type, std::byte* to, DType to_type, std::size_t count);

}  // namespace optpipe
