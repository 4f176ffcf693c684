#include "model/tokenizer/byte_alphabet.hpp"

#include "model/tokenizer/utf8.hpp"

namespace optpipe::model::tokenizer {
namespace {

constexpr char32_t kFirstSubstitute = 0x100;
constexpr std::size_t kSubstitutes = 68;

constexpr bool stands_for_itself(unsigned byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

struct Alphabet {
  std::array<char32_t, 256> characters{};
  std::array<std::int16_t, kFirstSubstitute + kSubstitutes> bytes{};  // -1: stands for no byte
};

constexpr Alphabet make_alphabet() {
  Alphabet alphabet;
  for (auto& byte : alphabet.bytes) byte = -1;
  char32_t substitute = kFirstSubstitute;
  for (unsigned byte = 0; byte < 256; ++byte) {
    const char32_t character = stands_for_itself(byte) ? byte : substitute++;
    alphabet.characters[byte] = character;
    alphabet.bytes[character] = static_cast<std::int16_t>(byte);
  }
  return alphabet;
}

constexpr Alphabet kAlphabet = make_alphabet();

}  // namespace

char32_t character_of_byte(std::uint8_t byte) { return kAlphabet.characters[byte]; }

std::optional<std::string> bytes_of_token(std::string_view token) {
  std::string bytes;
  for (std::size_t offset = 0; offset < token.size();) {
    const auto character = character_at(token, offset);
    if (character.code_point >= kAlphabet.bytes.size()) return std::nullopt;
    const auto byte = kAlphabet.bytes[character.code_point];
    if (byte < 0) return std::nullopt;
    bytes += static_cast<char>(byte);
    offset += character.length;
  }
  return bytes;
}

}  // namespace optpipe::model::tokenizer
