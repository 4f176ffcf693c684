// Whether a GPU keeps the quantized matrices of the layer at hand as halves while batches pass it.
#pragma once

#include <string>

#include "optpipe/memory/policy.hpp"
#include "optpipe/planner/run_plan.hpp"

namespace optpipe::planner {

// What it takes on each GPU, of the stage that takes most; 0 where weights are not quantized and where no
// rank has a GPU. Where a single batch passes a layer it pays too: parts of a matrix make products that are
// too small to occupy a GPU.
Bytes widening_bytes(const RunRequest& run, const memory::Policy& policy);

// The policy with Policy::keep_widened chosen: it does where all ranks have room for it beside all else. So
// no run stops fitting because of it.
memory::Policy settle_widening(const RunRequest& run, memory::Policy policy);

// Which it is, in one sentence; empty where widening_bytes is 0.
std::string describe_widening(const RunRequest& run, const memory::Policy& settled);

}  // namespace optpipe::planner
