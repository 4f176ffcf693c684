#include "cli/bench/token_clock.hpp"

namespace optpipe::cli {

TokenClock::TokenClock(const PromptBook& book, std::int64_t prompts, std::int64_t prompt_len,
                       std::int64_t new_tokens)
    : new_tokens_(new_tokens),
      tokens_(static_cast<std::size_t>(prompts)),
      last_token_(static_cast<std::size_t>(new_tokens)) {
  for (std::int64_t i = 0; i < (book.distinct() ? prompts : 1); ++i)
    prompts_.push_back(book.prompt(i, prompt_len));
  for (auto& tokens : tokens_) tokens.reserve(static_cast<std::size_t>(new_tokens));
}

std::span<const std::int32_t> TokenClock::prompt(std::int64_t sequence) const {
  return prompts_.size() == 1 ? prompts_[0] : prompts_[static_cast<std::size_t>(sequence)];
}

bool TokenClock::accept(std::int64_t sequence, std::int32_t token) {
  auto& tokens = tokens_[static_cast<std::size_t>(sequence)];
  last_token_[tokens.size()] = Clock::now();
  tokens.push_back(token);
  ++total_;
  if (on_token_) on_token_(total_);
  return static_cast<std::int64_t>(tokens.size()) < new_tokens_;
}

std::vector<double> TokenClock::decode_step_s() const {
  std::vector<double> seconds;
  for (std::size_t t = 1; t < last_token_.size(); ++t)
    seconds.push_back(std::chrono::duration<double>(last_token_[t] - last_token_[t - 1]).count());
  return seconds;
}

const std::vector<std::int32_t>& TokenClock::tokens_of(std::int64_t sequence) const {
  return tokens_[static_cast<std::size_t>(sequence)];
}

}  // namespace optpipe::cli
