// Byte-level BPE, as GPT-2's and OPT's: text to token ids and back, exact on any Unicode text.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace optpipe::model {

using Token = std::int32_t;

class Tokenizer {
 public:
  // Reads vocab.json and merges.txt in `directory`, and where present tokenizer_config.json,
  // special_tokens_map.json and added_tokens.json. Throws InputError for what is missing or malformed.
  explicit Tokenizer(const std::filesystem::path& directory);
  ~Tokenizer();
  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;

  // Ids of UTF-8 `text`. With `add_special` the beginning-of-sequence token comes first, once, where the
  // tokenizer's files ask for it (OPT: </s>). Special tokens spelled out in the text become their ids, as in
  // transformers. Throws InputError if `text` is not valid UTF-8.
  std::vector<Token> encode(std::string_view text, bool add_special = true) const;

  // Text of `tokens`; bytes that are not valid UTF-8 become U+FFFD, as in transformers. Throws InputError for
  // ids outside the vocabulary.
  std::string decode(std::span<const Token> tokens, bool skip_special = true) const;

  std::int64_t vocabulary() const;  // 1 + the largest id

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace optpipe::model
