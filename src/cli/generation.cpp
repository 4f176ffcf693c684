#include "cli/generation.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "optpipe/base/error.hpp"

namespace optpipe::cli {
namespace {

void encode(Prompt& prompt, const model::Tokenizer* tokenizer) {
  if (!prompt.text) return;
  if (tokenizer == nullptr)
    throw InputError(fmt::format(
        "{}: a prompt as text needs a tokenizer, but the model folder has no vocab.json: give \"tokens\"",
        prompt.origin));
  try {
    prompt.tokens = tokenizer->encode(*prompt.text);
  } catch (const InputError& error) {
    throw InputError(fmt::format("{}: {}", prompt.origin, error.what()));
  }
}

void check(const Prompt& prompt, const model::ModelConfig& config) {
  if (prompt.tokens.empty()) throw InputError(fmt::format("{}: the prompt has no tokens", prompt.origin));
  const auto length = static_cast<std::int64_t>(prompt.tokens.size());
  if (length > config.positions)
    throw InputError(fmt::format("{}: the prompt has {} tokens, but the model has {} positions: shorten it",
                                 prompt.origin, length, config.positions));
  const auto outside = std::ranges::find_if(
      prompt.tokens, [&](auto token) { return token < 0 || token >= config.vocabulary; });
  if (outside != prompt.tokens.end())
    throw InputError(fmt::format("{}: token {} is outside the model's vocabulary of {}", prompt.origin,
                                 *outside, config.vocabulary));
}

}  // namespace

Generation::Generation(std::vector<Prompt> prompts, const model::Tokenizer* tokenizer,
                       const model::ModelConfig& config, StopRules rules, std::int64_t max_new_tokens)
    : prompts_(std::move(prompts)),
      tokenizer_(tokenizer),
      rules_(std::move(rules)),
      positions_(config.positions),
      max_new_tokens_(max_new_tokens),
      states_(prompts_.size()) {
  if (!rules_.strings.empty() && tokenizer == nullptr)
    throw InputError("--stop needs a tokenizer, but the model folder has no vocab.json");
  for (Prompt& prompt : prompts_) {
    encode(prompt, tokenizer);
    check(prompt, config);
  }
}

// The last new token takes no position: it is not fed back. So even a prompt that fills all positions yields
// one.
std::vector<memory::Sequence> Generation::sequences() const {
  std::vector<memory::Sequence> sequences;
  for (std::size_t i = 0; i < prompts_.size(); ++i) {
    const auto length = static_cast<std::int64_t>(prompts_[i].tokens.size());
    const auto wanted = prompts_[i].max_new_tokens.value_or(max_new_tokens_);
    sequences.push_back({static_cast<std::int64_t>(i), length, std::min(wanted, positions_ - length + 1)});
  }
  return sequences;
}

std::span<const std::int32_t> Generation::prompt(std::int64_t sequence) const {
  return prompts_[static_cast<std::size_t>(sequence)].tokens;
}

bool Generation::accept(std::int64_t sequence, std::int32_t token) {
  State& state = states_[static_cast<std::size_t>(sequence)];
  state.tokens.push_back(token);
  ++new_tokens_;
  state.stopped = std::ranges::count(rules_.eos_tokens, token) > 0 || ends_by_string(state);
  if (on_token_) on_token_(new_tokens_);
  return !state.stopped;
}

bool Generation::ends_by_string(State& state) const {
  if (rules_.strings.empty()) return false;
  const std::string text = tokenizer_->decode(state.tokens);
  for (const std::string& stop : rules_.strings)
    if (const auto found = text.find(stop); found != std::string::npos)
      state.cut = std::min(found, state.cut.value_or(found));
  return state.cut.has_value();
}

Completion Generation::completion(std::size_t index) const {
  const State& state = states_[index];
  Completion completion{std::nullopt, state.tokens, state.stopped};
  if (tokenizer_ != nullptr)
    completion.text = tokenizer_->decode(state.tokens).substr(0, state.cut.value_or(std::string::npos));
  return completion;
}

std::int64_t Generation::prompt_tokens() const {
  std::int64_t sum = 0;
  for (const Prompt& prompt : prompts_) sum += static_cast<std::int64_t>(prompt.tokens.size());
  return sum;
}

}  // namespace optpipe::cli
