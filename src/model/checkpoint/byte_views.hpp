// Bytes from a file seen as text or as a number.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace optpipe::model {

inline std::string_view as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// At most 8 bytes.
inline std::uint64_t little_endian(std::string_view bytes) {
  std::uint64_t value = 0;
  for (auto byte = bytes.rbegin(); byte != bytes.rend(); ++byte)
    value = value << 8 | static_cast<unsigned char>(*byte);
  return value;
}

}  // namespace optpipe::model
