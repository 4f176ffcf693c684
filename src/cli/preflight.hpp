// Whether a run fits, before anything is taken for it.
#pragma once

#include <vector>

#include "cli/job.hpp"
#include "cli/options.hpp"
#include "optpipe/planner/run_plan.hpp"

namespace optpipe::cli {

// Collective: every rank says what is left where it runs (or what the budgets of `run` say), and rank 0
// compares that with the ledgers of all. All ranks fail together, with CapacityError, where one does not fit.
// Gives the ledgers of all ranks on rank 0. `policy`: the one that made `rounds`, which is not empty; what it
// leaves to the room that there is (planner/widening.hpp) is chosen, for all ranks.
std::vector<planner::Ledger> preflight(const Job& job, const RunOptions& run, memory::Policy& policy,
                                       const std::vector<memory::Round>& rounds, bool nccl,
                                       comm::Transport& transport);

// The folder of the disk tier.
std::string offload_directory(const RunOptions& run);

}  // namespace optpipe::cli
