#include "cli/generation.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

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

void check_stop_strings(const std::vector<std::string>& strings, const model::Tokenizer* tokenizer) {
  for (const std::string& stop : strings) {
    if (tokenizer == nullptr)
      throw InputError(
          "--stop is a text and needs a tokenizer, but the model folder has no vocab.json: leave it out");
    if (stop.empty())
      throw UsageError("--stop is empty, which every text holds: give at least one character");
    try {
      tokenizer->encode(stop);
    } catch (const InputError& error) {
      throw UsageError(fmt::format("--stop: {}", error.what()));
    }
  }
}

}  // namespace

Generation::Generation(std::vector<Prompt> prompts, const model::Tokenizer* tokenizer,
                       const model::ModelConfig& config, StopRules rules, std::int64_t max_new_tokens,
                       BadPrompts bad)
    : prompts_(std::move(prompts)),
      tokenizer_(tokenizer),
      eos_tokens_(std::move(rules.eos_tokens)),
      stop_finder_(rules.strings, [this](std::span<const std::int32_t> tokens) { return text_of(tokens); }),
      states_(prompts_.size()) {
  check_stop_strings(rules.strings, tokenizer);
  for (std::size_t i = 0; i < prompts_.size(); ++i) {
    Prompt& prompt = prompts_[i];
    if (prompt.error) continue;
    try {
      encode(prompt, tokenizer);
      check(prompt, config);
    } catch (const InputError& error) {
      if (bad == BadPrompts::refuse) throw;
      prompt.error = error.what();
      prompt.tokens.clear();
      continue;
    }
    // The last new token takes no position: it is not fed back. So even a prompt that fills all positions
    // yields one.
    states_[i].limit = std::min(prompt.max_new_tokens.value_or(max_new_tokens),
                                config.positions - static_cast<std::int64_t>(prompt.tokens.size()) + 1);
  }
}

void Generation::restore(std::int64_t index, std::span<const std::int32_t> tokens) {
  const auto size = static_cast<std::int64_t>(prompts_.size());
  if (index < 0 || index >= size || prompts_[static_cast<std::size_t>(index)].error)
    throw InputError(
        fmt::format("prompt {} of an earlier run is not among the {} of this input", index, size));
  State& state = states_[static_cast<std::size_t>(index)];
  if (state.over)
    return;  // there twice, and the same: tokens depend on nothing but the prompt and the options
  for (const auto token : tokens) {
    if (state.over) break;
    append(state, token);
  }
  if (!state.over || state.tokens.size() != tokens.size())
    throw InputError(
        fmt::format("the {} tokens of prompt {} from an earlier run are not what this run would make",
                    tokens.size(), index));
  state.restored = true;
  ++restored_;
}

std::vector<memory::Sequence> Generation::sequences() const {
  std::vector<memory::Sequence> sequences;
  for (std::size_t i = 0; i < prompts_.size(); ++i)
    if (!is_over(i))
      sequences.push_back({static_cast<std::int64_t>(i), static_cast<std::int64_t>(prompts_[i].tokens.size()),
                           states_[i].limit});
  return sequences;
}

std::span<const std::int32_t> Generation::prompt(std::int64_t sequence) const {
  return prompts_[static_cast<std::size_t>(sequence)].tokens;
}

bool Generation::accept(std::int64_t sequence, std::int32_t token) {
  const auto index = static_cast<std::size_t>(sequence);
  State& state = states_[index];
  append(state, token);
  ++new_tokens_;
  if (on_token_) on_token_(new_tokens_);
  if (state.over && on_over_) on_over_(index);
  return !state.over && takes_more();
}

void Generation::append(State& state, std::int32_t token) {
  state.tokens.push_back(token);
  state.cut = stop_finder_.find(state.stop, state.tokens);
  state.stopped = state.cut || std::ranges::count(eos_tokens_, token) > 0;
  state.over = state.stopped || static_cast<std::int64_t>(state.tokens.size()) >= state.limit;
}

// A model's embedding may have more rows than its tokenizer has tokens; such ids mean no text.
std::string Generation::text_of(std::span<const std::int32_t> tokens) const {
  std::vector<std::int32_t> known;
  std::ranges::copy_if(tokens, std::back_inserter(known),
                       [&](auto token) { return token < tokenizer_->vocabulary(); });
  return tokenizer_->decode(known);
}

Completion Generation::completion(std::size_t index) const {
  const State& state = states_[index];
  Completion completion{std::nullopt, state.tokens, state.stopped};
  if (tokenizer_ != nullptr)
    completion.text = text_of(state.tokens).substr(0, state.cut.value_or(std::string::npos));
  return completion;
}

std::int64_t Generation::prompt_tokens() const {
  std::int64_t sum = 0;
  for (std::size_t i = 0; i < prompts_.size(); ++i)
    if (!states_[i].restored) sum += static_cast<std::int64_t>(prompts_[i].tokens.size());
  return sum;
}

std::size_t Generation::errors() const {
  return static_cast<std::size_t>(
      std::ranges::count_if(prompts_, [](const Prompt& prompt) { return prompt.error.has_value(); }));
}

}  // namespace optpipe::cli
