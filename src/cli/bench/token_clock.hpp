// Rank 0's side of a benchmark's round: prompts go out, tokens come in, and each token step's end is noted.
#pragma once

#include <chrono>
#include <functional>
#include <vector>

#include "cli/bench/prompt_book.hpp"
#include "optpipe/executor/stage.hpp"

namespace optpipe::cli {

class TokenClock final : public executor::TokenSink {
 public:
  // Prompts 0 ... prompts - 1; every one goes on for `new_tokens` tokens, whatever they are.
  TokenClock(const PromptBook& book, std::int64_t prompts, std::int64_t prompt_len, std::int64_t new_tokens);

  std::span<const std::int32_t> prompt(std::int64_t sequence) const override;
  bool accept(std::int64_t sequence, std::int32_t token) override;

  // `callback` is told how many tokens there are, of all prompts.
  void on_token(std::function<void(std::int64_t)> callback) { on_token_ = std::move(callback); }

  // Seconds of token steps 1, 2, ...: from the last token of the step before to the last of this one, over
  // all prompts.
  std::vector<double> decode_step_s() const;
  std::int64_t prompts() const { return static_cast<std::int64_t>(tokens_.size()); }
  const std::vector<std::int32_t>& tokens_of(std::int64_t sequence) const;

 private:
  using Clock = std::chrono::steady_clock;

  std::vector<std::vector<std::int32_t>> prompts_;  // one where all are the same
  std::int64_t new_tokens_;
  std::vector<std::vector<std::int32_t>> tokens_;
  std::vector<Clock::time_point> last_token_;  // of each token step
  std::int64_t total_ = 0;
  std::function<void(std::int64_t)> on_token_;
};

}  // namespace optpipe::cli
