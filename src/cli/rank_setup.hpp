// What the command line means for one rank: its stage, its device, its threads.
#pragma once

#include <optional>
#include <vector>

#include "cli/options.hpp"
#include "optpipe/comm/transport.hpp"
#include "optpipe/executor/bind_ranks.hpp"
#include "optpipe/executor/device_links.hpp"
#include "optpipe/model/slice.hpp"

namespace optpipe::cli {

// The stages of all ranks: balanced, or as --stage-layers has it. Throws UsageError.
std::vector<model::StageSlice> cut_model(const RunOptions& options, const model::ModelConfig& config,
                                         int ranks);

// This rank's GPU; none where it computes on the CPU. Throws UsageError.
std::optional<int> choose_gpu(const RunOptions& options, const comm::Node& node);

executor::BindMode bind_mode(const RunOptions& options);

// --threads, OMP_NUM_THREADS, or one a core of this rank's.
int thread_count(const RunOptions& options, const topology::Placement& placement);

executor::CommDevice comm_device(const RunOptions& options);

}  // namespace optpipe::cli
