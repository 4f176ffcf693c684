#include "optpipe/base/environment.hpp"

#include <charconv>
#include <cstdlib>
#include <cstring>

namespace optpipe {
namespace {

std::optional<int> number(const char* name) {
  const char* text = std::getenv(name);
  if (text == nullptr) return std::nullopt;
  int value = 0;
  // OMP_NUM_THREADS may hold a list ("4,2"): the first number counts.
  const auto [end, status] = std::from_chars(text, text + std::strlen(text), value);
  if (status != std::errc{} || (*end != '\0' && *end != ',')) return std::nullopt;
  return value;
}

}  // namespace

LaunchEnvironment launch_environment() {
  if (const auto size = number("OMPI_COMM_WORLD_SIZE"))
    return {"Open MPI", size, number("OMPI_COMM_WORLD_RANK"), number("OMPI_COMM_WORLD_LOCAL_SIZE"),
            !number("PRTE_LAUNCHED")};
  if (const auto size = number("PMI_SIZE"))
    return {"PMI (MPICH, Intel MPI)", size, number("PMI_RANK"), number("MPI_LOCALNRANKS")};
  if (const auto size = number("SLURM_STEP_NUM_TASKS"); size && *size > 1)
    return {"Slurm srun", size, number("SLURM_PROCID"), number("SLURM_NTASKS_PER_NODE")};
  return {};
}

std::optional<int> omp_num_threads() {
  const auto threads = number("OMP_NUM_THREADS");
  return threads && *threads > 0 ? threads : std::nullopt;
}

std::string temporary_directory() {
  const char* directory = std::getenv("TMPDIR");
  return directory != nullptr && *directory != '\0' ? directory : "/tmp";
}

}  // namespace optpipe
