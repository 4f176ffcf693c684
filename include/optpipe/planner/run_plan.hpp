// All ranks of a run: what each takes, and whether the memory that they share has room for it.
#pragma once

#include <string>
#include <vector>

#include "optpipe/memory/budget.hpp"
#include "optpipe/planner/ledger.hpp"

namespace optpipe::planner {

// Where a rank runs and what is left there. Ranks of one host share its memory; those that name the same GPU
// or the same file system of a host share that.
struct RankResources {
  std::string host;
  Backend backend = Backend::cpu;
  DType weights = DType::f16;  // format of the checkpoint
  int threads = 1;
  Bytes process = runtime::kProcess;  // host memory of the process before it takes arenas
  memory::Budget host_memory;         // with what the host's ranks have in use already
  std::string gpu;                    // empty where there is none
  memory::Budget gpu_memory;
  memory::DiskSpace disk;
};

struct RunRequest {
  model::ModelConfig config;
  std::vector<model::StageSlice> slices;  // one a rank
  std::vector<RankResources> ranks;
  std::vector<memory::Sequence> sequences;
  bool device_link = false;  // hidden states travel from GPU to GPU
};

// One ledger a rank.
std::vector<Ledger> plan_run(const RunRequest& run, const memory::Policy& policy);

// Memory that some ranks share and that is too small for them.
struct Shortage {
  Place place = Place::plain;  // gpu, plain (all of the host) or disk
  std::vector<int> ranks;
  std::string where;  // "node7", "GPU 0000:65:00.0 of node7", "/scratch on node7"
  Ledger ledger;      // of these ranks together
  Bytes wanted = 0, available = 0;
  std::string source;  // of what is available

  Bytes excess() const { return wanted - available; }
};

// The worst first; empty: everything fits.
std::vector<Shortage> find_shortages(const RunRequest& run, const std::vector<Ledger>& ledgers);

// Room that is left where a rank's bytes of this kind would lie (0 where there is none).
Bytes room_left(const RunRequest& run, const std::vector<Ledger>& ledgers, std::size_t rank, Place place);

}  // namespace optpipe::planner
