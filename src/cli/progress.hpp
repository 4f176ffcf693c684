// How far a long run has come: a line that renews itself on a terminal, a line a minute in a log.
#pragma once

#include <chrono>
#include <cstdint>

namespace optpipe::cli {

class Progress {
 public:
  // `most_tokens`: new tokens if no prompt ends early. With `prompts` that all run together, the token step
  // is shown too, and what is left is judged by the decode steps alone once there are some.
  explicit Progress(std::int64_t most_tokens, std::int64_t prompts = 0);
  ~Progress();
  void show(std::int64_t new_tokens);
  void clear_line();  // before something else is printed

 private:
  using Clock = std::chrono::steady_clock;

  std::int64_t most_tokens_, prompts_;
  bool terminal_;
  bool line_shown_ = false;
  Clock::time_point begin_ = Clock::now();
  Clock::time_point last_ = begin_;
  Clock::time_point decode_begin_ = begin_;
};

}  // namespace optpipe::cli
