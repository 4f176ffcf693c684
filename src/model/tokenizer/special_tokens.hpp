// What a checkpoint's tokenizer_config.json, special_tokens_map.json and added_tokens.json say of tokens that
// do not come from merges.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "model/tokenizer/vocabulary.hpp"

namespace optpipe::model::tokenizer {

// A token that is found in a text as it is spelled, before the text is cut into words.
struct AddedToken {
  std::string content;
  Token id = -1;
  bool special = false;      // dropped by decode's skip_special
  bool normalized = true;    // looked for only after those that are not
  bool single_word = false;  // only between characters that are no word characters
  bool lstrip = false;       // takes the white space before it
  bool rstrip = false;       // takes the white space after it
  bool plain = false;        // given as a string, not as an object with flags

  bool operator==(const AddedToken&) const = default;
};

struct SpecialTokens {
  std::vector<AddedToken> added;    // each content once
  std::optional<Token> begin, end;  // what encode puts around a text
  bool add_prefix_space = false;    // in front of text that does not begin with a space
  bool split_special = false;       // special tokens in a text are text
};

// Reads what there is of the three files, and gives tokens that vocab.json lacks their places in
// `vocabulary`. Throws InputError for what is malformed.
//
// As in transformers: the later files count only where tokenizer_config.json has no added_tokens_decoder; a
// numbered token's flags go before a named one's, and of names that differ the last one's hold; vocab.json's
// id goes before one stated elsewhere. Unlike transformers: a token that vocab.json lacks keeps a stated id,
// also where a lower one is free; and tokens that the files do not name default to OPT's where vocab.json has
// those, never to a new
// <|endoftext|> for which the model has no row.
SpecialTokens read_special_tokens(const std::filesystem::path& directory, Vocabulary& vocabulary);

}  // namespace optpipe::model::tokenizer
