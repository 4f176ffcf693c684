// A policy's rate by a closed formula: what each resource would be busy for, the busiest sets the pace. Far
// from exact, but the order of policies is about right, and thousands take no time.
#pragma once

#include "optpipe/simulator/search.hpp"

namespace optpipe::simulator {

struct QuickRate {
  double token_s = 0;
  double gpu_bytes = 0, host_bytes = 0, disk_bytes = 0;  // of a rank with an equal share of the layers
};

// The policy's batch sizes are set. New tokens a second of one round.
QuickRate quick_rate(const SearchRequest& request, int ranks, const memory::Policy& policy);

}  // namespace optpipe::simulator
