// Signals by which a batch system asks a job to stop: SIGUSR1 (sbatch --signal) and SIGTERM.
#pragma once

#include <string_view>

namespace optpipe::cli {

// From now on the first such signal is noted on rank 0 instead of ending the process; a second one ends it.
// mpirun hands SIGUSR1 to every rank: the others pass it over, since rank 0 ends the run for all. SIGTERM
// still ends them. Threads that are to leave the signals alone begin after this call.
void listen_for_stop_requests(bool leader);

// The signal's name; empty where none has come.
std::string_view stop_request();

}  // namespace optpipe::cli
