#include "model/tokenizer/utf8.hpp"

#include <algorithm>
#include <cstdint>

namespace optpipe::model::tokenizer {
namespace {

// How a character goes on after its first byte: the Unicode standard's table of well-formed sequences.
struct Sequence {
  std::size_t length = 0;                // 0: no character begins so
  char32_t bits = 0;                     // of the first byte
  std::uint8_t low = 0x80, high = 0xBF;  // range of the second byte
};

Sequence sequence_of(std::uint8_t lead) {
  if (lead < 0x80) return {1, lead};
  if (lead < 0xC2 || lead > 0xF4) return {};
  if (lead < 0xE0) return {2, lead & 0x1Fu};
  const auto low = static_cast<std::uint8_t>(lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80);
  const auto high = static_cast<std::uint8_t>(lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF);
  if (lead < 0xF0) return {3, lead & 0x0Fu, low, high};
  return {4, lead & 0x07u, low, high};
}

constexpr char32_t kReplacement = 0xFFFD;

}  // namespace

Character character_at(std::string_view text, std::size_t offset) {
  auto [length, code_point, low, high] = sequence_of(static_cast<std::uint8_t>(text[offset]));
  if (length == 0) return {kReplacement, 1, false};
  for (std::size_t i = 1; i < length; ++i) {
    if (offset + i >= text.size()) return {kReplacement, i, false};
    const auto byte = static_cast<std::uint8_t>(text[offset + i]);
    if (byte < low || byte > high) return {kReplacement, i, false};
    code_point = code_point << 6 | (byte & 0x3Fu);
    low = 0x80;
    high = 0xBF;
  }
  return {code_point, length, true};
}

std::size_t previous_offset(std::string_view text, std::size_t offset) {
  do --offset;
  while (offset > 0 && (static_cast<std::uint8_t>(text[offset]) & 0xC0) == 0x80);
  return offset;
}

std::optional<std::size_t> first_invalid(std::string_view text) {
  for (std::size_t offset = 0; offset < text.size();) {
    const auto character = character_at(text, offset);
    if (!character.valid) return offset;
    offset += character.length;
  }
  return std::nullopt;
}

void append_utf8(char32_t code_point, std::string& text) {
  const auto continuation = [&](int shift) {
    text += static_cast<char>(0x80 | (code_point >> shift & 0x3F));
  };
  if (code_point < 0x80) {
    text += static_cast<char>(code_point);
  } else if (code_point < 0x800) {
    text += static_cast<char>(0xC0 | code_point >> 6);
    continuation(0);
  } else if (code_point < 0x10000) {
    text += static_cast<char>(0xE0 | code_point >> 12);
    continuation(6);
    continuation(0);
  } else {
    text += static_cast<char>(0xF0 | code_point >> 18);
    continuation(12);
    continuation(6);
    continuation(0);
  }
}

std::string replace_invalid(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size());
  for (std::size_t offset = 0; offset < bytes.size();) {
    const auto character = character_at(bytes, offset);
    if (character.valid)
      text += bytes.substr(offset, character.length);
    else
      append_utf8(kReplacement, text);
    offset += character.length;
  }
  return text;
}

bool is_white_space(char32_t code_point) {
  return std::any_of(kWhiteSpace.begin(), kWhiteSpace.end(), [&](const CodePoints& range) {
    return range.first <= code_point && code_point <= range.second;
  });
}

}  // namespace optpipe::model::tokenizer
