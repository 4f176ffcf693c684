// How far a long run has come: a line that renews itself on a terminal, a line a minute in a log.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string_view>

namespace optpipe::cli {

// Where lines of progress go, and what time it is there.
struct ProgressOutput {
  using Clock = std::chrono::steady_clock;

  bool is_terminal = false;
  std::function<void(std::string_view)> write;  // as it stands on a terminal; a line without its end in a log
  std::function<Clock::time_point()> now = Clock::now;
};

// Standard error: the terminal behind it, or the log. Writes nothing where the log is quiet.
ProgressOutput progress_on_standard_error();

class Progress {
 public:
  // `most_tokens`: new tokens if no prompt ends early. With `prompts` that all run together, the token step
  // is shown too, and what is left is judged by the decode steps alone once there are some.
  explicit Progress(std::int64_t most_tokens, std::int64_t prompts = 0,
                    ProgressOutput output = progress_on_standard_error());
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // "token step 5 of 32, 576 of 4608 tokens, 51.2 token/s, at most 00:01:19 left": on a terminal at most five
  // times a second.
  void show(std::int64_t new_tokens);
  void clear_line();  // before something else is printed

 private:
  using Clock = ProgressOutput::Clock;

  std::int64_t most_tokens_, prompts_;
  ProgressOutput output_;
  bool line_shown_ = false;
  Clock::time_point begin_ = output_.now();
  Clock::time_point last_ = begin_;
  Clock::time_point decode_begin_ = begin_;
};

}  // namespace optpipe::cli
