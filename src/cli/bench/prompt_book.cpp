#include "cli/bench/prompt_book.hpp"

#include <algorithm>

namespace optpipe::cli {
namespace {

constexpr std::int32_t kOptTokens[] = {33361, 16, 5, 812, 343, 9};
constexpr std::int64_t kSpecialTokens = 4;  // the first ids of OPT's vocabulary mean no text

}  // namespace

PromptBook::PromptBook(const model::ModelConfig& config, const model::Tokenizer* tokenizer, bool distinct)
    : bos_(static_cast<std::int32_t>(config.bos_token)), vocabulary_(config.vocabulary), distinct_(distinct) {
  sentence_ = tokenizer != nullptr ? tokenizer->encode(kSentence, false)
                                   : std::vector<std::int32_t>(std::begin(kOptTokens), std::end(kOptTokens));
  for (auto& token : sentence_) token = static_cast<std::int32_t>(token % vocabulary_);
}

std::vector<std::int32_t> PromptBook::prompt(std::int64_t index, std::int64_t length) const {
  const auto n = static_cast<std::size_t>(length);
  std::vector<std::int32_t> tokens(n);
  for (std::size_t i = 0; i < n; ++i)
    tokens[n - 1 - i] = sentence_[sentence_.size() - 1 - i % sentence_.size()];
  tokens[0] = bos_;
  if (distinct_ && n > 2) {
    const auto first = std::min(kSpecialTokens, vocabulary_ - 1);
    tokens[1] = static_cast<std::int32_t>(first + index % (vocabulary_ - first));
  }
  return tokens;
}

}  // namespace optpipe::cli
