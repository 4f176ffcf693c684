// vocab.json: tokens, written in the alphabet of bytes, and their ids.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "optpipe/model/tokenizer.hpp"

namespace optpipe::model::tokenizer {

// Ids are below this; what lies above is a damaged file, not a vocabulary.
inline constexpr std::int64_t kMostIds = 1 << 26;

class Vocabulary {
 public:
  Vocabulary() = default;
  Vocabulary(Vocabulary&&) = default;  // not copied: tokens_ points into ids_
  Vocabulary& operator=(Vocabulary&&) = default;

  std::optional<Token> id_of(const std::string& token) const;
  const std::string* token_of(Token id) const;  // nullptr: no token has this id
  Token size() const { return size_; }          // 1 + the largest id

  // False where the token or the id is taken.
  bool add(const std::string& token, Token id);

 private:
  std::unordered_map<std::string, Token> ids_;
  std::unordered_map<Token, const std::string*> tokens_;  // keys of ids_
  Token size_ = 0;
};

// Throws InputError for what is missing or malformed.
Vocabulary read_vocabulary(const std::filesystem::path& path);

// The whole file; throws InputError where it cannot be read.
std::string read_text_file(const std::filesystem::path& path);

// `text` in quotes, on one line, shortened: for messages.
std::string quote(std::string_view text);

}  // namespace optpipe::model::tokenizer
