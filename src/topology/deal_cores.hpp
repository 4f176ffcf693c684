// Divides the cores of a NUMA node among the ranks that belong there.
#pragma once

#include <vector>

#include "optpipe/topology/index_set.hpp"

namespace optpipe::topology {

// What `cpus` hold of each core, in order; cores without any are left out.
std::vector<IndexSet> parts_of(const std::vector<IndexSet>& cores, const IndexSet& cpus);

struct Dealt {
  std::vector<std::vector<IndexSet>> cores;  // of each rank: the hardware threads of each core
  bool shared = false;                       // every rank got everything that it may use
};

// `cores`: the node's, in order; `allowed`: what each rank may use, at least one hardware thread of these.
// Ranks with the same rights get consecutive cores, and numbers that differ by one at most.
Dealt deal_cores(const std::vector<IndexSet>& cores, const std::vector<IndexSet>& allowed);

}  // namespace optpipe::topology
