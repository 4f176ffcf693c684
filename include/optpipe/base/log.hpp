// The log: one for the whole run, on stderr. Rank 0 writes everything, other ranks only warnings and errors,
// so that nothing is printed once per rank. Results go to stdout and do not pass through here.
#pragma once

#include <spdlog/spdlog.h>

namespace optpipe {

enum class Verbosity { quiet, normal, debug };

// Call once per process before anything is logged.
void set_up_log(bool leader, Verbosity verbosity);

namespace log = spdlog;

}  // namespace optpipe
