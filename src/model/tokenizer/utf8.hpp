// UTF-8, one character at a time.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace optpipe::model::tokenizer {

// What begins at an offset of a text: a character, or bytes that are none.
struct Character {
  char32_t code_point = 0;  // U+FFFD where not valid
  std::size_t length =
      1;  // bytes; where not valid, of the longest prefix of a character that is there, at least 1
  bool valid = false;
};

// `offset` < text.size().
Character character_at(std::string_view text, std::size_t offset);

// Offset of the character that ends before `offset`, in valid text; `offset` > 0.
std::size_t previous_offset(std::string_view text, std::size_t offset);

// Byte offset of the first character that is not valid UTF-8.
std::optional<std::size_t> first_invalid(std::string_view text);

void append_utf8(char32_t code_point, std::string& text);

// `bytes` with U+FFFD for each maximal subpart of what is no character, as in the Unicode standard (and
// Python's errors="replace").
std::string replace_invalid(std::string_view bytes);

// Unicode's White_Space property, spelled out: \s and \h mean other sets in PCRE2 (U+180E, for one).
using CodePoints = std::pair<char32_t, char32_t>;  // first and last
inline constexpr std::array<CodePoints, 10> kWhiteSpace{{{0x09, 0x0D},
                                                         {0x20, 0x20},
                                                         {0x85, 0x85},
                                                         {0xA0, 0xA0},
                                                         {0x1680, 0x1680},
                                                         {0x2000, 0x200A},
                                                         {0x2028, 0x2029},
                                                         {0x202F, 0x202F},
                                                         {0x205F, 0x205F},
                                                         {0x3000, 0x3000}}};
bool is_white_space(char32_t code_point);

}  // namespace optpipe::model::tokenizer
