#include "optpipe/topology/placement.hpp"

#include <algorithm>
#include <map>

#include "optpipe/base/check.hpp"
#include "topology/deal_cores.hpp"

namespace optpipe::topology {
namespace {

// The work of place_ranks. Nodes are positions in machine.nodes here.
class Placer {
 public:
  Placer(const Machine& machine, const std::vector<RankSeat>& ranks)
      : machine_(machine), ranks_(ranks), placements_(ranks.size()), members_(machine.nodes.size()) {
    for (const RankSeat& rank : ranks) {
      const IndexSet cpus = rank.cpus.empty() ? machine.allowed_cpus : rank.cpus & machine.allowed_cpus;
      allowed_.push_back(cpus.empty() ? machine.allowed_cpus : cpus);
    }
    for (const NumaNode& node : machine.nodes) cores_.push_back(parts_of(node.cores, machine.allowed_cpus));
  }

  std::vector<Placement> place() {
    std::vector<std::size_t> open;
    for (std::size_t rank = 0; rank < ranks_.size(); ++rank)
      if (!keep_exclusive(rank)) open.push_back(rank);
    seat_beside_gpus(open);
    seat_on_cpus(open);
    for (std::size_t node = 0; node < members_.size(); ++node) divide(node);
    for (std::size_t rank = 0; rank < ranks_.size(); ++rank) finish(rank);
    for (Placement& placement : placements_)
      placement.node_ranks = static_cast<int>(std::ranges::count_if(placements_, [&](const Placement& other) {
        return &other == &placement || other.nodes.overlaps(placement.nodes);
      }));
    return std::move(placements_);
  }

 private:
  IndexSet cpus_of(std::size_t node) const {
    IndexSet cpus;
    for (const IndexSet& core : cores_[node]) cpus |= core;
    return cpus;
  }

  // Nodes on which the rank may use a core.
  std::vector<std::size_t> usable_nodes(std::size_t rank) const {
    std::vector<std::size_t> nodes;
    for (std::size_t node = 0; node < machine_.nodes.size(); ++node)
      if (cpus_of(node).overlaps(allowed_[rank])) nodes.push_back(node);
    OPTPIPE_CHECK(!nodes.empty(), "CPUs {} are on no NUMA node", allowed_[rank].to_string());
    return nodes;
  }

  std::vector<std::size_t> usable_nodes_near_gpu(std::size_t rank) const {
    const IndexSet near = machine_.nodes_near(ranks_[rank].gpu);
    auto nodes = usable_nodes(rank);
    std::erase_if(nodes, [&](std::size_t node) { return !near.contains(machine_.nodes[node].index); });
    return nodes;
  }

  // What a launcher gave to this rank alone is not up for division.
  bool keep_exclusive(std::size_t rank) {
    if (allowed_[rank] == machine_.allowed_cpus) return false;
    for (std::size_t other = 0; other < ranks_.size(); ++other)
      if (other != rank && allowed_[other].overlaps(allowed_[rank])) return false;
    for (const std::size_t node : usable_nodes(rank)) give(rank, parts_of(cores_[node], allowed_[rank]));
    return true;
  }

  std::size_t least_loaded(const std::vector<std::size_t>& nodes) const {
    return *std::ranges::min_element(nodes, {}, [&](std::size_t node) {
      return static_cast<double>(members_[node].size() + 1) / static_cast<double>(cores_[node].size());
    });
  }

  void seat_beside_gpus(const std::vector<std::size_t>& open) {
    for (const std::size_t rank : open) {
      if (ranks_[rank].gpu.empty()) continue;
      auto nodes = usable_nodes_near_gpu(rank);
      if (nodes.empty()) nodes = usable_nodes(rank);
      members_[least_loaded(nodes)].push_back(rank);
    }
  }

  // Ranks with the same choice of nodes fill them in order, so that neighbours in the pipeline are neighbours
  // here.
  void seat_on_cpus(const std::vector<std::size_t>& open) {
    std::map<std::vector<std::size_t>, std::vector<std::size_t>> groups;
    for (const std::size_t rank : open)
      if (ranks_[rank].gpu.empty()) groups[usable_nodes(rank)].push_back(rank);
    for (const auto& [nodes, ranks] : groups) {
      if (ranks.size() < nodes.size()) {  // a rank over several nodes rather than nodes without a rank
        for (std::size_t i = 0; i < nodes.size(); ++i)
          members_[nodes[i]].push_back(ranks[i * ranks.size() / nodes.size()]);
        continue;
      }
      std::map<std::size_t, std::size_t> seats;
      auto before = members_;
      for (std::size_t i = 0; i < ranks.size(); ++i) {
        const std::size_t node = least_loaded(nodes);
        ++seats[node];
        members_[node].push_back(ranks[i]);  // counts for the load; who sits where follows
      }
      members_ = std::move(before);
      auto next = ranks.begin();
      for (const auto& [node, count] : seats)
        for (std::size_t i = 0; i < count; ++i) members_[node].push_back(*next++);
    }
  }

  void divide(std::size_t node) {
    const auto& ranks = members_[node];
    if (ranks.empty()) return;
    std::vector<IndexSet> allowed;
    for (const std::size_t rank : ranks) allowed.push_back(allowed_[rank] & cpus_of(node));
    const Dealt dealt = deal_cores(cores_[node], allowed);
    for (std::size_t i = 0; i < ranks.size(); ++i) {
      give(ranks[i], dealt.cores[i]);
      placements_[ranks[i]].shared |= dealt.shared;
      if (dealt.shared) sharers_[ranks[i]] = std::max(sharers_[ranks[i]], ranks.size());
    }
  }

  void give(std::size_t rank, const std::vector<IndexSet>& cores) {
    auto& own = placements_[rank].cores;
    own.insert(own.end(), cores.begin(), cores.end());
  }

  void finish(std::size_t rank) {
    Placement& placement = placements_[rank];
    const IndexSet cpus = placement.cpus();
    IndexSet own_nodes;  // of its cores
    for (std::size_t node = 0; node < machine_.nodes.size(); ++node)
      if (cpus.overlaps(cpus_of(node))) own_nodes |= IndexSet{machine_.nodes[node].index};
    placement.nodes = own_nodes;
    if (!ranks_[rank].gpu.empty()) {
      const IndexSet near = machine_.nodes_near(ranks_[rank].gpu) & machine_.allowed_nodes;
      const IndexSet both = own_nodes & near;
      placement.near_gpu = near.empty() || !both.empty();
      if (!both.empty())
        placement.nodes = both;
      else if (!near.empty())
        placement.nodes = {near.first()};
    }
    placement.nodes = placement.nodes & machine_.allowed_nodes;
    const auto sharers = sharers_.contains(rank) ? sharers_[rank] : 1;
    placement.threads = static_cast<int>(std::max(placement.cores.size() / sharers, std::size_t{1}));
  }

  const Machine& machine_;
  const std::vector<RankSeat>& ranks_;
  std::vector<IndexSet> allowed_;             // [rank]
  std::vector<std::vector<IndexSet>> cores_;  // [node]: what the machine allows of each
  std::vector<Placement> placements_;
  std::vector<std::vector<std::size_t>> members_;  // [node]: ranks
  std::map<std::size_t, std::size_t> sharers_;     // ranks on the shared CPUs of this one
};

}  // namespace

IndexSet Placement::cpus() const {
  IndexSet all;
  for (const IndexSet& core : cores) all |= core;
  return all;
}

std::vector<Placement> place_ranks(const Machine& machine, const std::vector<RankSeat>& ranks) {
  return Placer(machine, ranks).place();
}

}  // namespace optpipe::topology
