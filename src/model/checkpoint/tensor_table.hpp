// Where the tensors of one file lie: what each format's reader produces.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "model/checkpoint/file.hpp"
#include "optpipe/base/storage_format.hpp"

namespace optpipe::model {

inline constexpr std::size_t kMostDimensions = 16;

// A reader fills this only after checking that every element lies inside the file.
struct TensorLocation {
  std::optional<DType> dtype;         // nothing: a type that optpipe does not compute with; not to be read
  std::string stored_type;            // as the file calls it, for messages
  std::vector<std::int64_t> shape;    // row-major
  std::vector<std::int64_t> strides;  // in elements, one per dimension; empty: contiguous
  std::uint64_t offset = 0;           // of element 0, in bytes from the start of the file
  std::int64_t elements = 0;
  StorageFormat format = StorageFormat::native;  // quantized: `shape` is the matrix', rows lie side by side

  RowFormat row_format() const { return {format, dtype.value_or(DType::f16), shape.back()}; }
};

class TensorTable {
 public:
  // Enters a tensor under a canonical name. Throws InputError if `file` has given that name before.
  void add(const File& file, std::string name, TensorLocation location);

  const TensorLocation* find(const std::string& name) const;  // null: no such tensor
  std::size_t size() const { return locations_.size(); }

 private:
  std::unordered_map<std::string, TensorLocation> locations_;
};

// The product of `shape`. Throws InputError naming `what` for negative sizes, for too many dimensions, and
// for products beyond 63 bits.
std::int64_t count_elements(std::span<const std::int64_t> shape, const std::string& what);

}  // namespace optpipe::model
