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
  // model's positions (or notes that as the prompt's error, as `bad` says), UsageError for a stop string that
  // cannot be searched for.
  Generation(std::vector<Prompt> prompts, const model::Tokenizer* tokenizer, const model::ModelConfig& config,
             StopRules rules, std::int64_t max_new_tokens, BadPrompts bad = BadPrompts::refuse);
  Generation(const Generation&) = delete;
  Generation& operator=(const Generation&) = delete;

  // Takes over all tokens of a prompt from an earlier run. Throws InputError where they do not finish it.
  void restore(std::int64_t index, std::span<const std::int32_t> tokens);

  // Lengths of all prompts that are still to be generated, in order; an index is a prompt's position among
  // all. A prompt that comes near the end of the model's positions gets fewer new tokens.
  std::vector<memory::Sequence> sequences() const;

  std::span<const std::int32_t> prompt(std::int64_t sequence) const override;
  bool accept(std::int64_t sequence, std::int32_t token) override;
  bool takes_more() const override { return !(stops_ && stops_()); }

  std::size_t size() const { return prompts_.size(); }
  std::size_t errors() const;  // prompts that are wrong
  bool is_over(std::size_t index) const { return prompts_[index].error || states_[index].over; }
  const std::vector<std::int32_t>& tokens(std::size_t index) const {
    return states_[index].tokens;
  }  // new ones
  const Prompt& source(std::size_t index) const { return prompts_[index]; }
  Completion completion(std::size_t index) const;

  // Of this run alone, without what was restored.
  std::int64_t prompts_run() const {
    return static_cast<std::int64_t>(prompts_.size() - errors() - restored_);
  }
  std::int64_t prompt_tokens() const;
  std::int64_t new_tokens() const { return new_tokens_; }
  void on_token(std::function<void(std::int64_t new_tokens)> callback) { on_token_ = std::move(callback); }
  void on_over(std::function<void(std::size_t index)> callback) { on_over_ = std::move(callback); }
  // Asked at every token; from the first true on no sequence goes on, and those under way stay unfinished.
  void stop_when(std::function<bool()> question) { stops_ = std::move(question); }

 private:
  struct State {
    std::vector<std::int32_t> tokens;
    std::int64_t limit = 0;              // most new tokens
    bool stopped = false, over = false;  // over: stopped, or at the limit
    bool restored = false;
    StopFinder::State stop;
    std::optional<std::size_t> cut;  // the text ends here, before a stop string
  };

  void append(State& state, std::int32_t token);
  std::string text_of(std::span<const std::int32_t> tokens) const;

  std::vector<Prompt> prompts_;
  const model::Tokenizer* tokenizer_;
  std::vector<std::int64_t> eos_tokens_;
  StopFinder stop_finder_;
  std::vector<State> states_;
  std::size_t restored_ = 0;
  std::int64_t new_tokens_ = 0;
  std::function<void(std::int64_t)> on_token_;
  std::function<void(std::size_t)> on_over_;
  std::function<bool()> stops_;
};

}  // namespace optpipe::cli
