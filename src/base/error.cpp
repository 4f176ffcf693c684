#include "optpipe/base/error.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>

#include "optpipe/base/check.hpp"

namespace optpipe {

void throw_errno(const std::string& call) {
  throw SystemError(fmt::format("{} failed: {}", call, std::strerror(errno)));
}

void contract_violated(const char* condition, const char* file, int line, const std::string& why) {
  throw ContractViolation(
      fmt::format("internal error at {}:{}: {} ({}); please report this with the command line", file, line,
                  why, condition));
}

}  // namespace optpipe
