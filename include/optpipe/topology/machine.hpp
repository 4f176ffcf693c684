// What decisions need to know of a machine: its NUMA nodes, their cores, and which node each PCI device is
// near.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "optpipe/base/units.hpp"
#include "optpipe/topology/index_set.hpp"

namespace optpipe::topology {

struct NumaNode {
  int index = 0;                // the operating system's
  Bytes memory = 0;             // 0 where the source does not say
  std::vector<IndexSet> cores;  // the hardware threads of each core, in the order of caches and packages
};

struct Machine {
  std::vector<NumaNode> nodes;              // those that have cores, by index
  std::map<std::string, IndexSet> devices;  // PCI bus id, "0000:65:00.0": the nodes it is nearest to
  IndexSet allowed_cpus, allowed_nodes;     // by the system, cgroups included

  // Empty where the device is unknown. Takes any spelling of a bus id that CUDA or NVML uses.
  IndexSet nodes_near(const std::string& pci_bus) const;
};

// "00000000:3B:00.0" as "0000:3b:00.0"; unchanged where it is no bus id.
std::string normalize_bus_id(const std::string& pci_bus);

// A topology of hwloc, whose types stay inside.
class Topology {
 public:
  // Of this machine, or of the one that hwloc's own variables (HWLOC_XMLFILE, HWLOC_SYNTHETIC) name. All
  // throw InputError where the source cannot be read.
  static Topology live();
  static Topology synthetic(const std::string& description);  // "pack:2 [numa] core:12 pu:2"
  static Topology from_xml(const std::filesystem::path& file);

  const Machine& machine() const { return machine_; }
  // Whether binding means anything: false for a topology of another machine.
  bool is_this_machine() const;

  // The CPUs that the calling thread may use; all of the machine's where that cannot be told.
  IndexSet inherited_cpus() const;

  // 0, or the errno of the refusal.
  int bind_process(const IndexSet& cpus) const;
  int bind_thread(const IndexSet& cpus) const;
  // For pages not yet touched, at whole pages. Several nodes: page by page in turn. Not `strict`: pages may
  // lie elsewhere rather than run out.
  int bind_memory(void* pages, Bytes bytes, const IndexSet& nodes, bool strict) const;

  struct Handle;  // hwloc's

 private:
  explicit Topology(std::shared_ptr<const Handle> handle);

  std::shared_ptr<const Handle> handle_;
  Machine machine_;
};

}  // namespace optpipe::topology
