#include "cli/progress.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>

#include "optpipe/base/log.hpp"

namespace optpipe::cli {

Progress::Progress(std::int64_t most_tokens, std::int64_t prompts)
    : most_tokens_(most_tokens), prompts_(prompts), terminal_(isatty(STDERR_FILENO) == 1) {}

Progress::~Progress() { clear_line(); }

void Progress::show(std::int64_t new_tokens) {
  using namespace std::chrono_literals;
  if (!spdlog::should_log(spdlog::level::info)) return;
  const auto now = Clock::now();
  if (new_tokens == prompts_) decode_begin_ = now;
  if (now - last_ < (terminal_ ? Clock::duration(200ms) : Clock::duration(60s))) return;
  last_ = now;
  const auto rate_since = [&](Clock::time_point begin, std::int64_t tokens) {
    return static_cast<double>(tokens) / std::chrono::duration<double>(now - begin).count();
  };
  const bool decodes = prompts_ > 0 && new_tokens > prompts_;
  const double rate =
      decodes ? rate_since(decode_begin_, new_tokens - prompts_) : rate_since(begin_, new_tokens);
  const std::chrono::seconds left(
      static_cast<std::int64_t>(static_cast<double>(most_tokens_ - new_tokens) / rate));
  const auto step = prompts_ > 0 ? fmt::format("token step {} of {}, ", 1 + (new_tokens - 1) / prompts_,
                                               most_tokens_ / prompts_)
                                 : "";
  const auto line = fmt::format("{}{} of {} tokens, {:.1f} token/s, at most {:%H:%M:%S} left", step,
                                new_tokens, most_tokens_, rate, left);
  if (!terminal_) {
    log::info("{}", line);
    return;
  }
  fmt::print(stderr, "\r\x1b[K{}", line);
  std::fflush(stderr);
  line_shown_ = true;
}

void Progress::clear_line() {
  if (!line_shown_) return;
  fmt::print(stderr, "\r\x1b[K");
  std::fflush(stderr);
  line_shown_ = false;
}

}  // namespace optpipe::cli
