// Rank 0's side of text generation: prompts as tokens, tokens as text, and when a prompt is over.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "cli/prompts.hpp"
#include "cli/stop_finder.hpp"
#include "optpipe/executor/stage.hpp"
#include "optpipe/model/config.hpp"
#include "optpipe/model/tokenizer.hpp"

namespace optpipe::cli {

struct StopRules {
  std::vector<std::int64_t> eos_tokens;  // empty: none ends a text
  std::vector<std::string> strings;
};

class Generation final : public executor::TokenSink {
 public:
  // Encodes the prompts. `tokenizer` may be null where every prompt comes as tokens; texts are then absent.
  // Throws InputError for a prompt that is empty, holds ids outside the vocabulary, or is longer than the
  // model's positions, UsageError for a stop string that cannot be searched for.
  Generation(std::vector<Prompt> prompts, const model::Tokenizer* tokenizer, const model::ModelConfig& config,
             StopRules rules, std::int64_t max_new_tokens);
  Generation(const Generation&) = delete;
  Generation& operator=(const Generation&) = delete;

  // Lengths of all prompts, in order. A prompt that comes near the end of the model's positions gets fewer
  // new tokens.
  std::vector<memory::Sequence> sequences() const;

  std::span<const std::int32_t> prompt(std::int64_t sequence) const override;
  bool accept(std::int64_t sequence, std::int32_t token) override;

  std::size_t size() const { return prompts_.size(); }
  const Prompt& source(std::size_t index) const { return prompts_[index]; }
  Completion completion(std::size_t index) const;

  std::int64_t prompt_tokens() const;
  std::int64_t new_tokens() const { return new_tokens_; }
  void on_token(std::function<void(std::int64_t new_tokens)> callback) { on_token_ = std::move(callback); }

 private:
  struct State {
    std::vector<std::int32_t> tokens;
    bool stopped = false;
    StopFinder::State stop;
    std::optional<std::size_t> cut;  // the text ends here, before a stop string
  };

  std::string text_of(std::span<const std::int32_t> tokens) const;

  std::vector<Prompt> prompts_;
  const model::Tokenizer* tokenizer_;
  std::vector<std::int64_t> eos_tokens_;
  StopFinder stop_finder_;
  std::int64_t positions_;
  std::int64_t max_new_tokens_;
  std::vector<State> states_;
  std::int64_t new_tokens_ = 0;
  std::function<void(std::int64_t)> on_token_;
};

}  // namespace optpipe::cli
