// What the ranks of a node share, as resources of a simulation.
#pragma once

#include <vector>

#include "optpipe/simulator/machine.hpp"
#include "optpipe/simulator/predict.hpp"
#include "optpipe/simulator/simulate.hpp"

namespace optpipe::simulator {

class NodeResources {
 public:
  NodeResources(const Scenario& scenario, const Machine& machine);

  const std::vector<Resource>& all() const { return all_; }

  // Indices, of the rank's node or device. `in`, `out`: what a copy to or from the device takes; `memory`: of
  // the host.
  struct Of {
    std::int32_t in, out, both, all_in, all_out, all_both;  // of GPUs
    std::int32_t memory, cores, disk_read, disk_write;
  };
  const Of& of(Rank rank) const { return of_[static_cast<std::size_t>(rank.value)]; }
  int node_of(Rank rank) const { return rank.value / ranks_per_node_; }

 private:
  std::int32_t add(const std::string& name, double capacity, int node);

  int ranks_per_node_;
  std::vector<Resource> all_;
  std::vector<Of> of_;  // [rank]
};

}  // namespace optpipe::simulator
