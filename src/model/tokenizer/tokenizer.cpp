#include "optpipe/model/tokenizer.hpp"

#include <fmt/format.h>

#include <unordered_set>

#include "model/tokenizer/added_tokens.hpp"
#include "model/tokenizer/byte_alphabet.hpp"
#include "model/tokenizer/merges.hpp"
#include "model/tokenizer/special_tokens.hpp"
#include "model/tokenizer/utf8.hpp"
#include "model/tokenizer/vocabulary.hpp"
#include "model/tokenizer/words.hpp"
#include "optpipe/base/error.hpp"

namespace optpipe::model {
struct Tokenizer::Impl {
  explicit Impl(const std::filesystem::path& directory)
      : vocabulary(tokenizer::read_vocabulary(directory / "vocab.json")),
        merges(directory / "merges.txt", vocabulary),
        special(tokenizer::read_special_tokens(directory, vocabulary)),
        finder(special) {
    for (const auto& token : special.added)
      if (token.special) special_ids.insert(token.id);
  }

  void encode_plain(std::string_view text, tokenizer::Merges::Scratch& scratch,
                    std::vector<Token>& ids) const {
    std::string spaced;
    if (special.add_prefix_space && !text.starts_with(' ')) text = spaced.append(1, ' ').append(text);
    words.split(text, [&](std::string_view word) { merges.encode(word, scratch, ids); });
  }

  // The bytes that a token stands for. One with characters outside the alphabet, such as an added one with a
  // space in it, stands for itself.
  std::string bytes_of(Token id) const {
    const auto* token = vocabulary.token_of(id);
    if (token == nullptr) return "";  // ids that vocab.json leaves out mean no text
    return tokenizer::bytes_of_token(*token).value_or(*token);
  }

  tokenizer::Vocabulary vocabulary;
  tokenizer::Merges merges;
  tokenizer::SpecialTokens special;
  tokenizer::AddedTokenFinder finder;
  tokenizer::WordSplitter words;
  std::unordered_set<Token> special_ids;
};

Tokenizer::Tokenizer(const std::filesystem::path& directory) : impl_(std::make_unique<Impl>(directory)) {}
Tokenizer::~Tokenizer() = default;
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;

std::vector<Token> Tokenizer::encode(std::string_view text, bool add_special) const {
  if (const auto offset = tokenizer::first_invalid(text))
    throw InputError(
        fmt::format("the text is not valid UTF-8 at byte {}: convert it to UTF-8 first", *offset));
  std::vector<Token> ids;
  if (add_special && impl_->special.begin) ids.push_back(*impl_->special.begin);
  tokenizer::Merges::Scratch scratch;
  for (const auto& stretch : impl_->finder.split(text)) {
    if (stretch.token >= 0)
      ids.push_back(stretch.token);
    else
      impl_->encode_plain(stretch.text, scratch, ids);
  }
  if (add_special && impl_->special.end) ids.push_back(*impl_->special.end);
  return ids;
}

std::string Tokenizer::decode(std::span<const Token> tokens, bool skip_special) const {
  std::string bytes;
  for (const auto id : tokens) {
    if (id < 0 || id >= vocabulary())
      throw InputError(
          fmt::format("token {} is outside the tokenizer's vocabulary of {}: check that vocab.json belongs "
                      "to the model",
                      id, vocabulary()));
    if (skip_special && impl_->special_ids.contains(id)) continue;
    bytes += impl_->bytes_of(id);
  }
  return tokenizer::replace_invalid(bytes);
}

std::int64_t Tokenizer::vocabulary() const { return impl_->vocabulary.size(); }

}  // namespace optpipe::model
