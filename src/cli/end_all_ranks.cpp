#include "cli/end_all_ranks.hpp"

#include <string>

#include "optpipe/base/error.hpp"
#include "optpipe/base/log.hpp"

namespace optpipe::cli {

executor::FailureHandler end_all_ranks(comm::Transport& transport) {
  return [&transport](std::exception_ptr failure) {
    ExitStatus status = ExitStatus::failure;
    std::string why = "unknown failure";
    try {
      std::rethrow_exception(failure);
    } catch (const Error& error) {
      status = error.status();
      why = error.what();
    } catch (const std::exception& error) {
      why = error.what();
    }
    if (transport.size() > 1)
      log::error("rank {} on {}: {}", transport.rank().value, transport.node().host, why);
    transport.abort(status, why);
  };
}

}  // namespace optpipe::cli
