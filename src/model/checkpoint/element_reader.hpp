// Reads elements of a located tensor, in row-major order whatever its strides.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "model/checkpoint/file.hpp"
#include "model/checkpoint/tensor_table.hpp"
#include "optpipe/base/units.hpp"

namespace optpipe::model {

inline constexpr Bytes kGatherWindow = 64 * kMiB;

// Copies elements [first, first + count) to `out` (count · size_of(*tensor.dtype) bytes). Contiguous tensors
// go straight to `out`; strided ones are gathered from windows of the file of at most `window` bytes, so that
// memory stays bounded.
void read_elements(const File& file, const TensorLocation& tensor, std::int64_t first, std::int64_t count,
                   std::span<std::byte> out, Bytes window = kGatherWindow);

}  // namespace optpipe::model
