#include "optpipe/topology/machine.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "optpipe/base/error.hpp"
#include "topology/handle.hpp"

namespace optpipe::topology {
namespace {

std::string bus_id(unsigned domain, unsigned bus, unsigned device, unsigned function) {
  return fmt::format("{:04x}:{:02x}:{:02x}.{:x}", domain, bus, device, function);
}

std::vector<IndexSet> cores_of(hwloc_topology_t topology, hwloc_const_cpuset_t cpus) {
  std::vector<IndexSet> cores;
  // Where the source knows no cores (some virtual machines), every CPU counts as one.
  const bool has_cores = hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_CORE) > 0;
  const auto type = has_cores ? HWLOC_OBJ_CORE : HWLOC_OBJ_PU;
  for (hwloc_obj_t core = nullptr;
       (core = hwloc_get_next_obj_covering_cpuset_by_type(topology, cpus, type, core)) != nullptr;)
    if (IndexSet threads = to_index_set(core->cpuset); !threads.empty()) cores.push_back(std::move(threads));
  return cores;
}

// Nodes with cores. Of nodes over the same cores (DRAM and high-bandwidth memory) the largest counts.
std::vector<NumaNode> nodes_of(hwloc_topology_t topology) {
  std::vector<NumaNode> nodes;
  for (hwloc_obj_t node = nullptr;
       (node = hwloc_get_next_obj_by_type(topology, HWLOC_OBJ_NUMANODE, node)) != nullptr;) {
    NumaNode found{static_cast<int>(node->os_index), node->attr->numanode.local_memory,
                   cores_of(topology, node->cpuset)};
    if (found.cores.empty()) continue;
    const auto twin = std::ranges::find(nodes, found.cores, &NumaNode::cores);
    if (twin == nodes.end())
      nodes.push_back(std::move(found));
    else if (found.memory > twin->memory)
      *twin = std::move(found);
  }
  std::ranges::sort(nodes, {}, &NumaNode::index);
  return nodes;
}

}  // namespace

Machine describe_machine(hwloc_topology_t topology) {
  Machine machine;
  machine.nodes = nodes_of(topology);
  if (machine.nodes.empty()) throw InputError("the topology names no NUMA node with cores");
  machine.allowed_cpus = to_index_set(hwloc_topology_get_allowed_cpuset(topology));
  machine.allowed_nodes = to_index_set(hwloc_topology_get_allowed_nodeset(topology));
  for (hwloc_obj_t device = nullptr; (device = hwloc_get_next_pcidev(topology, device)) != nullptr;) {
    const auto& pci = device->attr->pcidev;
    const hwloc_obj_t place = hwloc_get_non_io_ancestor_obj(topology, device);
    if (place != nullptr && place->nodeset != nullptr)
      machine.devices[bus_id(pci.domain, pci.bus, pci.dev, pci.func)] = to_index_set(place->nodeset);
  }
  return machine;
}

std::string normalize_bus_id(const std::string& pci_bus) {
  unsigned domain = 0, bus = 0, device = 0, function = 0;
  if (std::sscanf(pci_bus.c_str(), "%x:%x:%x.%x", &domain, &bus, &device, &function) != 4) return pci_bus;
  return bus_id(domain, bus, device, function);
}

IndexSet Machine::nodes_near(const std::string& pci_bus) const {
  const auto found = devices.find(normalize_bus_id(pci_bus));
  return found == devices.end() ? IndexSet{} : found->second;
}

}  // namespace optpipe::topology
