// Reads some of what a table says lies in a file: a location that was let through must hold.
#pragma once

#include "fuzz/target.hpp"
#include "model/checkpoint/element_reader.hpp"

namespace optpipe::fuzz {

inline void read_tensors(const model::File& file, const model::TensorTable& table) {
  constexpr std::int64_t kMost = 4096;  // views may repeat elements, so that a small file holds large tensors
  for (const auto* name : {"a", "b", "c", "base", "transposed", "rows", "every_other", "expanded", "cube"}) {
    const auto* tensor = table.find(name);
    if (tensor == nullptr || !tensor->dtype) continue;
    const auto count = std::min(tensor->elements, kMost);
    std::vector<std::byte> out(static_cast<std::size_t>(count) * size_of(*tensor->dtype));
    model::read_elements(file, *tensor, 0, count, out);
    model::read_elements(file, *tensor, tensor->elements - count, count, out);
  }
}

}  // namespace optpipe::fuzz
