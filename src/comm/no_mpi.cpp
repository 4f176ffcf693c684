// Stands in for mpi_transport.cpp where the program is built without MPI.
#include <fmt/format.h>

#include "optpipe/base/environment.hpp"
#include "optpipe/comm/mpi.hpp"

namespace optpipe::comm {

std::string mpi_library() { return "none"; }

std::unique_ptr<Transport> connect(Seconds) {
  const LaunchEnvironment launch = launch_environment();
  if (launch.size.value_or(1) > 1)
    throw UsageError(fmt::format(
        "{} started {} processes, but optpipe was built without MPI: install an MPI library and build again",
        launch.launcher, *launch.size));
  return std::make_unique<Alone>();
}

}  // namespace optpipe::comm
