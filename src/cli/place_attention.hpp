// Where a run attends to the KV cache on the host.
#pragma once

#include "cli/job.hpp"
#include "optpipe/comm/transport.hpp"
#include "optpipe/memory/policy.hpp"
#include "optpipe/memory/round.hpp"

namespace optpipe::cli {

// The policy with its place of attention settled (planner/attention.hpp). Collective: all ranks get the same,
// by the ceilings of the slowest.
memory::Policy place_attention(const Job& job, memory::Policy policy,
                               const std::vector<memory::Round>& rounds, comm::Transport& transport);

}  // namespace optpipe::cli
