#include "cli/progress.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "optpipe/base/log.hpp"

namespace optpipe::cli {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::milliseconds kOnTerminal = 200ms;
constexpr std::chrono::seconds kInLog = 60s;
constexpr const char* kClearLine = "\r\x1b[K";
constexpr double kLeastSeconds = 1e-6;  // of a rate: a clock may stand still between two tokens

}  // namespace

ProgressOutput progress_on_standard_error() {
  ProgressOutput output;
  output.is_terminal = isatty(STDERR_FILENO) == 1;
  if (!spdlog::should_log(spdlog::level::info)) {
    output.write = [](std::string_view) {};
  } else if (output.is_terminal) {
    output.write = [](std::string_view text) {
      fmt::print(stderr, "{}", text);
      std::fflush(stderr);
    };
  } else {
    output.write = [](std::string_view line) { log::info("{}", line); };
  }
  return output;
}

Progress::Progress(std::int64_t most_tokens, std::int64_t prompts, ProgressOutput output)
    : most_tokens_(most_tokens), prompts_(prompts), output_(std::move(output)) {}

Progress::~Progress() { clear_line(); }

void Progress::show(std::int64_t new_tokens) {
  const auto now = output_.now();
  if (new_tokens == prompts_) decode_begin_ = now;
  if (now - last_ < (output_.is_terminal ? Clock::duration(kOnTerminal) : Clock::duration(kInLog))) return;
  last_ = now;
  const auto rate_since = [&](Clock::time_point begin, std::int64_t tokens) {
    return static_cast<double>(tokens) /
           std::max(kLeastSeconds, std::chrono::duration<double>(now - begin).count());
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
  output_.write(output_.is_terminal ? kClearLine + line : line);
  line_shown_ = output_.is_terminal;
}

void Progress::clear_line() {
  if (!line_shown_) return;
  output_.write(kClearLine);
  line_shown_ = false;
}

}  // namespace optpipe::cli
