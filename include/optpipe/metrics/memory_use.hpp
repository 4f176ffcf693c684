// Planned memory of every rank beside what was measured.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "optpipe/comm/transport.hpp"
#include "optpipe/planner/ledger.hpp"

namespace optpipe::metrics {

// The most that a rank has had at once. `gpu` counts everything that left the GPU's free memory since the run
// began, whichever rank took it, and this rank's context.
struct MeasuredMemory {
  Bytes gpu = 0;         // cudaMemGetInfo
  Bytes gpu_arenas = 0;  // taken by cudaMalloc, by this rank
  Bytes pinned = 0;      // registered with CUDA; part of host
  Bytes host = 0;        // VmHWM of the process
  Bytes disk = 0;        // blocks of the offload file
};

struct RankMemory {
  std::string host;
  planner::Ledger planned;
  MeasuredMemory measured;
};

// Collective: every rank's, on rank 0; elsewhere nothing. `planned` on rank 0: one ledger a rank.
std::vector<RankMemory> gather_memory(comm::Transport& transport, const std::vector<planner::Ledger>& planned,
                                      const MeasuredMemory& own);

// Of the fullest GPU and of the fullest host, on which all ranks there count together. 0 where there is none.
struct PeakMemory {
  Bytes gpu = 0, planned_gpu = 0;
  Bytes host = 0, planned_host = 0;
};

// `gpus`: [rank] a name of its GPU that is unique on its host, such as the PCI id; empty: no GPU.
PeakMemory find_peak(std::span<const RankMemory> ranks, std::span<const std::string> gpus);

// [{"rank", "host", "planned": {"gpu"|"pinned"|"plain"|"disk": {class: bytes, ..., "total": bytes}},
// "measured": {"gpu", "gpu_arenas", "pinned", "host", "disk": bytes}}]; "host" measures what is planned as
// pinned and plain.
nlohmann::json to_json(std::span<const RankMemory> ranks);

// One line a rank and place, with a heading.
std::vector<std::string> to_table(std::span<const RankMemory> ranks);

}  // namespace optpipe::metrics
