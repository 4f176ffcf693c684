#include "cli/options/groups.hpp"

namespace optpipe::cli {
namespace {

constexpr const char* kGroup = "Run";

}  // namespace

void add_run_options(CLI::App& app, RunOptions& o) {
  app.add_option("--device", o.device,
                 "Where to compute: auto, cpu or cuda (auto: cuda where there is a GPU)")
      ->check(CLI::IsMember({"auto", "cpu", "cuda"}))
      ->type_name("NAME")
      ->capture_default_str()
      ->group(kGroup);
  app.add_option("--gpu-map", o.gpu_map,
                 "GPU of each rank of a node, such as 0,2,1,3 (default: in order, around again)")
      ->delimiter(',')
      ->group(kGroup);
  app.add_option(
         "--comm-device", o.comm_device,
         "How hidden states travel between stages: gpu (NCCL), cpu (MPI, through host memory), or auto "
         "(gpu where every rank has a GPU of its own)")
      ->check(CLI::IsMember({"auto", "gpu", "cpu"}))
      ->type_name("NAME")
      ->capture_default_str()
      ->group(kGroup);
  app.add_option(
         "--bind", o.bind,
         "Keep each rank's threads and host memory on the NUMA node nearest to its GPU, on its share of the "
         "cores that the launcher allows: auto; threads (and each compute thread on a core of its own); "
         "none; "
         "or report (decide and show, but do not bind)")
      ->check(CLI::IsMember({"auto", "threads", "none", "report"}))
      ->type_name("NAME")
      ->capture_default_str()
      ->group(kGroup);
  app.add_option("--threads", o.threads,
                 "Threads a rank computes with (0: OMP_NUM_THREADS, or one for each core that --bind finds)")
      ->check(CLI::Range(0, 4096))
      ->capture_default_str()
      ->group(kGroup);
  app.add_option("--comm-timeout", o.comm_timeout_s, "A rank that is silent for so long counts as lost")
      ->check(CLI::Range(1e-3, 1e9))
      ->type_name("SECONDS")
      ->capture_default_str()
      ->group(kGroup);
}

}  // namespace optpipe::cli
