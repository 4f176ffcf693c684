// The end of a run that cannot go on.
#pragma once

#include "optpipe/comm/transport.hpp"
#include "optpipe/executor/stage.hpp"

namespace optpipe::cli {

// For a failure that the ranks cannot agree on in peace: this rank says so, and all ranks end. A single rank
// leaves it to main() to tell.
executor::FailureHandler end_all_ranks(comm::Transport& transport);

}  // namespace optpipe::cli
