#include "model/checkpoint/tensor_table.hpp"

#include <fmt/format.h>

#include <limits>

#include "model/checkpoint/printable.hpp"
#include "optpipe/base/error.hpp"
#include "optpipe/base/units.hpp"

namespace optpipe::model {

void TensorTable::add(const File& file, std::string name, TensorLocation location) {
  const auto [entry, inserted] = locations_.try_emplace(std::move(name), std::move(location));
  if (!inserted)
    file.fail(fmt::format("two of its tensors are named {} (with or without a prefix); keep one",
                          printable(entry->first)));
}

const TensorLocation* TensorTable::find(const std::string& name) const {
  const auto found = locations_.find(name);
  return found == locations_.end() ? nullptr : &found->second;
}

std::int64_t count_elements(std::span<const std::int64_t> shape, const std::string& what) {
  if (shape.size() > kMostDimensions)
    throw InputError(
        fmt::format("{} has {} dimensions; at most {} are read", what, shape.size(), kMostDimensions));
  std::uint64_t product = 1;
  for (const auto size : shape) {
    if (size < 0) throw InputError(fmt::format("{} has a dimension of {}; the file is damaged", what, size));
    product = checked_multiply(product, static_cast<std::uint64_t>(size), what);
  }
  if (product > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
    throw InputError(fmt::format("{} has {} elements; the file is damaged", what, product));
  return static_cast<std::int64_t>(product);
}

}  // namespace optpipe::model
