// The process's environment variables, read here and nowhere else.
#pragma once

#include <optional>
#include <string>

namespace optpipe {

// What the environment says of the launcher that started this process.
struct LaunchEnvironment {
  std::string launcher;     // "Open MPI", "PMI (MPICH, Intel MPI)", "Slurm srun", or "" if started alone
  std::optional<int> size;  // processes in the job
  std::optional<int> rank;  // of this process
  std::optional<int> local_size;  // processes on this node
  // false: what comes on the launcher's standard input may reach rank 0 late, in part or twice. So it is with
  // the runtime of Open MPI 5 (openpmix/prrte, issues 2373 and 2579; with 5.0.11 a reader waits for the end
  // of its input for ever).
  bool forwards_input = true;
};
LaunchEnvironment launch_environment();

std::optional<int> omp_num_threads();  // OMP_NUM_THREADS, if it holds a positive number
std::string temporary_directory();     // TMPDIR, or /tmp

}  // namespace optpipe
