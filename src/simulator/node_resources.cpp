#include "simulator/node_resources.hpp"

#include <algorithm>

namespace optpipe::simulator {

std::int32_t NodeResources::add(const std::string& name, double capacity, int node) {
  all_.push_back({name, capacity, node});
  return static_cast<std::int32_t>(all_.size()) - 1;
}

NodeResources::NodeResources(const Scenario& scenario, const Machine& machine)
    : ranks_per_node_(std::max(1, scenario.ranks_per_node)) {
  Of node{};
  for (int rank = 0; rank < scenario.ranks(); ++rank) {
    const int number = rank / ranks_per_node_;
    if (rank % ranks_per_node_ == 0) {
      node.memory = add("host memory", machine.host_memory.total_bytes_s, number);
      node.cores = add("cores", machine.cores, number);
      node.disk_read = add("disk reads", machine.disk.read_bytes_s, number);
      node.disk_write = add("disk writes", machine.disk.write_bytes_s, number);
      node.all_in = add("copies to all devices of a node", machine.copies.all_in, number);
      node.all_out = add("copies from all devices of a node", machine.copies.all_out, number);
      node.all_both = add("copies of all devices of a node, both ways", machine.copies.all_both, number);
    }
    Of own = node;
    own.in = add("copies to a device", machine.copies.in, number);
    own.out = add("copies from a device", machine.copies.out, number);
    own.both = add("copies of a device, both ways", machine.copies.both, number);
    of_.push_back(own);
  }
}

}  // namespace optpipe::simulator
