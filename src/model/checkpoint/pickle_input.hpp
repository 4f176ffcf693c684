// The bytes of a pickle, taken from front to back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace optpipe::model::pickle {

// Every member but fail() throws InputError where the bytes run out.
class Input {
 public:
  // `source` is what messages call the pickle.
  Input(std::span<const std::byte> bytes, std::string source)
      : rest_(reinterpret_cast<const char*>(bytes.data()), bytes.size()), source_(std::move(source)) {}

  bool at_end() const { return rest_.empty(); }
  std::string_view take(std::uint64_t count);
  std::string_view line();                  // up to the next newline, which is dropped
  std::uint64_t number(std::size_t bytes);  // little-endian, at most 8 bytes
  std::int64_t signed_number(
      std::uint64_t bytes);  // little-endian two's complement; more than 8 bytes are refused

  [[noreturn]] void fail(const std::string& why) const;

 private:
  std::string_view rest_;
  std::string source_;
};

}  // namespace optpipe::model::pickle
