#include "model/checkpoint/printable.hpp"

#include <fmt/format.h>

namespace optpipe::model {
namespace {

constexpr std::size_t kLongest = 300;

std::string escaped(std::string_view text) {
  std::string result;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte >= 0x7f)
      result += fmt::format("\\x{:02x}", byte);
    else
      result += c;
  }
  return result;
}

}  // namespace

std::string printable(std::string_view text) {
  if (text.size() <= kLongest) return escaped(text);
  return escaped(text.substr(0, kLongest / 2)) + "..." + escaped(text.substr(text.size() - kLongest / 2));
}

}  // namespace optpipe::model
