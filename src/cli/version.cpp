#include "cli/version.hpp"

#include <fmt/format.h>

#include "optpipe/comm/device_link.hpp"
#include "optpipe/comm/mpi.hpp"
#include "optpipe/executor/stage.hpp"
#include "optpipe/kernels/cpu.hpp"

namespace optpipe::cli {

std::string version_text() {
  const std::string cuda =
      executor::built_with_cuda() ? fmt::format(", cuda ({} GPUs here)", executor::cuda_devices()) : "";
  return fmt::format("optpipe {}\nbackends: cpu ({}){}\ntransports: in-process, MPI ({}), NCCL ({})",
                     OPTPIPE_VERSION, kernels::vector_target(), cuda, comm::mpi_library(),
                     comm::nccl_version());
}

}  // namespace optpipe::cli
