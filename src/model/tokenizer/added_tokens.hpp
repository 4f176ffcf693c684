// Finds added tokens in a text, as they are spelled.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "model/tokenizer/pattern.hpp"
#include "model/tokenizer/special_tokens.hpp"

namespace optpipe::model::tokenizer {

// A stretch of text: one added token, or text between them.
struct Stretch {
  std::string_view text;
  Token token = -1;  // -1: text
};

class AddedTokenFinder {
 public:
  explicit AddedTokenFinder(const SpecialTokens& special);

  // Cuts valid UTF-8 into stretches: from the left, of several tokens at one place the longest. The tokens
  // that are not normalized come first; the normalized ones are looked for in what those leave.
  std::vector<Stretch> split(std::string_view text) const;

 private:
  using Tokens = std::array<std::vector<AddedToken>, 256>;  // by first byte, longest first
  const AddedToken* longest_at(const Tokens& tokens, std::string_view text, std::size_t offset) const;
  bool stands_alone(std::string_view text, std::size_t begin, std::size_t end) const;
  void split(const Tokens& tokens, std::string_view text, std::vector<Stretch>& stretches) const;

  Tokens literal_, normalized_;
  bool split_special_;
  std::optional<Pattern> word_character_;  // only where a token asks
};

}  // namespace optpipe::model::tokenizer
