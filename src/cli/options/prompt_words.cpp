#include "cli/options/prompt_words.hpp"

#include <fmt/format.h>

#include <span>
#include <string_view>

#include "optpipe/base/error.hpp"

namespace optpipe::cli {

std::vector<std::string> repeat_prompt_flag(int argc, const char* const* argv) {
  std::vector<std::string> words;
  bool expects_text = false, takes_text = false;
  for (const std::string_view word : std::span(argv, static_cast<std::size_t>(argc)).subspan(1)) {
    const bool is_flag = word.starts_with("--");
    if (expects_text && is_flag)
      throw UsageError(fmt::format(
          "--prompt has no text before {}; see optpipe generate --help (or write --prompt={}, if that is it)",
          word, word));
    if (takes_text && !expects_text && !word.starts_with('-')) words.emplace_back("--prompt");
    words.emplace_back(word);
    expects_text = word == "--prompt" && !expects_text;
    takes_text = expects_text || word.starts_with("--prompt=") || (takes_text && !is_flag);
  }
  return words;
}

}  // namespace optpipe::cli
