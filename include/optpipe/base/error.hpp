// Errors that reach the user. Each says what went wrong, why, and what to do about it.
#pragma once

#include <stdexcept>
#include <string>

namespace optpipe {

// Exit statuses of the program; scripts rely on the numbers.
enum class ExitStatus : int {
  done = 0,
  failure = 1,       // anything without a number of its own
  usage = 2,         // unknown flag, contradictory options
  does_not_fit = 3,  // memory or disk budget exceeded
  bad_input = 4,     // checkpoint, tokenizer or prompt file
  peer_failed = 5,   // another rank failed, or did not answer in time
};

class Error : public std::runtime_error {
 public:
  Error(ExitStatus status, const std::string& message) : std::runtime_error(message), status_(status) {}
  ExitStatus status() const noexcept { return status_; }

 private:
  ExitStatus status_;
};

struct UsageError : Error {
  explicit UsageError(const std::string& message) : Error(ExitStatus::usage, message) {}
};
struct CapacityError : Error {
  explicit CapacityError(const std::string& message) : Error(ExitStatus::does_not_fit, message) {}
};
struct InputError : Error {
  explicit InputError(const std::string& message) : Error(ExitStatus::bad_input, message) {}
};
struct PeerError : Error {
  explicit PeerError(const std::string& message) : Error(ExitStatus::peer_failed, message) {}
};
// A failed system or library call; `what` names the call and its arguments.
struct SystemError : Error {
  explicit SystemError(const std::string& message) : Error(ExitStatus::failure, message) {}
};

// SystemError for `call` with the text of errno.
[[noreturn]] void throw_errno(const std::string& call);

}  // namespace optpipe
