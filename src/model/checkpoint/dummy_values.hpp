// Values of dummy weights: cheap to draw, addressable by element, the same for every slice and on every
// machine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "optpipe/base/dtype.hpp"

namespace optpipe::model {

// 4096 evenly spaced values around `centre`, of standard deviation `deviation`, ready-made in one dtype.
// Drawing from a table costs one load per element, whatever the dtype; no conversion is left for the hot
// loop.
class DummyDistribution {
 public:
  DummyDistribution(double centre, double deviation, DType dtype);

  // Elements [first, first + count) of the stream `key`, to `out` (count · size_of(dtype) bytes). Every four
  // elements take the four 16-bit parts of one 64-bit hash of (key, element / 4).
  void fill(std::uint64_t key, std::int64_t first, std::int64_t count, std::span<std::byte> out) const;

 private:
  DType dtype_;
  std::vector<std::uint16_t> halves_;  // the table, of fp16 or bf16
  std::vector<std::uint32_t> floats_;  // the table, of fp32
};

// The key of a tensor's stream.
std::uint64_t dummy_key(std::uint64_t seed, std::string_view tensor);

}  // namespace optpipe::model
