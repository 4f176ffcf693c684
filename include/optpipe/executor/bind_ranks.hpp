// Which cores and NUMA nodes the ranks work on: decided together by all ranks of a node, carried out by each.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "optpipe/comm/transport.hpp"
#include "optpipe/topology/binding.hpp"

namespace optpipe::executor {

enum class BindMode : std::uint8_t {
  automatic,  // decide and carry out: threads stay on the rank's cores, memory on its node
  threads,    // the same, with each compute thread on a core of its own
  none,       // decide only: the number of threads follows from it
  report,     // the same, and show it
};

// Collective; `gpu`: of this rank, none where it computes on the CPU. All ranks fail together where the
// topology of one cannot be read. Kernels' threads are pinned from then on, too.
std::shared_ptr<topology::Binding> bind_rank(comm::Transport& transport, std::optional<int> gpu,
                                             BindMode mode);

// One rank's binding as it turned out.
struct RankBinding {
  int rank = 0;
  std::string host;
  std::optional<int> gpu;  // CUDA's number
  std::string pci_bus;
  int host_nodes = 1;  // NUMA nodes of its host
  topology::Placement placement;
  int threads = 1;  // that it really computes with
  bool carried_out = false;
  topology::BindingStatus status;
};

// Collective: all ranks' on rank 0, by rank; empty elsewhere.
std::vector<RankBinding> gather_bindings(comm::Transport& transport, const topology::Binding& binding,
                                         std::optional<int> gpu, int threads);

}  // namespace optpipe::executor
