// Descriptions of machines for tests, in hwloc's XML format, with GPUs.
#pragma once

#include <string>
#include <vector>

#include "optpipe/topology/machine.hpp"

namespace optpipe::test {

using topology::IndexSet;
using topology::Topology;

struct MachineShape {
  int packages = 1, nodes_per_package = 1, cores_per_node = 1, threads_per_core = 1;
  // The PCI bus ids of the GPUs at each NUMA node; at index `nodes` those of which no place is known.
  std::vector<std::vector<std::string>> gpus{};
  IndexSet disallowed{};  // CPUs that a cgroup keeps from everyone
};

// CPUs are numbered as Linux does: first threads of all cores, then second ones.
std::string machine_xml(const MachineShape& shape);
Topology make_machine(const MachineShape& shape);  // written to a file and read back

// The lab's machine: 2 sockets of 12 cores with 2 threads, CPUs 0-11,24-35 and 12-23,36-47, two GPUs at each.
MachineShape lab_machine();
// Two sockets of two domains with 16 cores each, two GPUs at each domain.
MachineShape eight_gpus();

}  // namespace optpipe::test
