// Checks of the program's own contracts. A failure is a bug in optpipe, never a user's mistake: those are
// Errors (error.hpp). Checks stay on in release builds.
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>

namespace optpipe {

struct ContractViolation : std::logic_error {
  using std::logic_error::logic_error;
};

[[noreturn]] void contract_violated(const char* condition, const char* file, int line,
                                    const std::string& why);

}  // namespace optpipe

// OPTPIPE_CHECK(rows <= capacity, "batch of {} rows in a buffer for {}", rows, capacity)
#define OPTPIPE_CHECK(condition, ...)                                                           \
  do {                                                                                          \
    if (!(condition)) [[unlikely]]                                                              \
      ::optpipe::contract_violated(#condition, __FILE__, __LINE__, ::fmt::format(__VA_ARGS__)); \
  } while (false)
