// The prompts of a benchmark: tokens that are the same on every machine.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "optpipe/model/config.hpp"
#include "optpipe/model/tokenizer.hpp"

namespace optpipe::cli {

// A prompt of n tokens is the beginning-of-text token and the sentence "Paris is the capital city of", over
// and over, cut in front so that it ends with the whole sentence. Without a tokenizer the sentence's tokens
// are OPT's, modulo the vocabulary.
class PromptBook {
 public:
  static constexpr const char* kSentence = "Paris is the capital city of";

  // With `distinct`, the second token of prompt i is another one for each i (from n = 3 on), so that results
  // of different prompts can be told apart.
  PromptBook(const model::ModelConfig& config, const model::Tokenizer* tokenizer, bool distinct);

  std::vector<std::int32_t> prompt(std::int64_t index, std::int64_t length) const;
  bool distinct() const { return distinct_; }

 private:
  std::vector<std::int32_t> sentence_;
  std::int32_t bos_;
  std::int64_t vocabulary_;
  bool distinct_;
};

}  // namespace optpipe::cli
