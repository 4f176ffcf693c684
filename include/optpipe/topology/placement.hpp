// Which cores and which NUMA nodes each rank of a node gets: a pure function of the machine and the ranks.
#pragma once

#include <string>
#include <vector>

#include "optpipe/topology/machine.hpp"

namespace optpipe::topology {

// What a rank brings along.
struct RankSeat {
  IndexSet cpus;    // inherited from its launcher; none: whatever the machine allows
  std::string gpu;  // PCI bus id; empty: it computes on the CPU
};

struct Placement {
  IndexSet nodes;               // where its memory belongs; several: in turn. None: nowhere in particular
  std::vector<IndexSet> cores;  // the hardware threads of each that it may use; never empty
  bool shared = false;          // with other ranks, because there are fewer hardware threads than ranks
  int threads = 1;              // to compute with
  int node_ranks = 1;           // whose memory belongs on some of the same nodes, this one included
  bool near_gpu = true;         // whether its cores are beside its GPU, where it has one

  IndexSet cpus() const;  // of all cores
};

// One placement a rank, in the order of `ranks`, which are those on this machine by local rank.
// - CPUs that a launcher gave to one rank alone stay that rank's. Others are divided.
// - A rank with a GPU belongs to the NUMA node nearest to it (of several, to the one with the fewest ranks
// for its
//   cores), and shares that node's cores evenly with the other ranks there. Where the launcher left it no
//   core there, its cores come from elsewhere and its memory stays beside the GPU.
// - Ranks without one spread evenly over the nodes; where they are fewer than the nodes, each takes several.
// - Ranks share no core while there are enough of them, and no hardware thread while there are enough of
// those. Where
//   there are not, all ranks of the node float over all of its CPUs, as the system pleases.
std::vector<Placement> place_ranks(const Machine& machine, const std::vector<RankSeat>& ranks);

}  // namespace optpipe::topology
