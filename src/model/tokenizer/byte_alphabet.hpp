// The characters that stand for bytes in vocab.json and merges.txt. Printable bytes of Latin-1 stand for
// themselves; the rest, in order, take the characters from U+0100 on (a space is U+0120).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace optpipe::model::tokenizer {

char32_t character_of_byte(std::uint8_t byte);

// The bytes that `token` stands for; nullopt where a character of it stands for none.
std::optional<std::string> bytes_of_token(std::string_view token);

}  // namespace optpipe::model::tokenizer
