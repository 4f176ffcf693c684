#include "topology/deal_cores.hpp"

#include <algorithm>
#include <map>

namespace optpipe::topology {
namespace {

using Owners = std::vector<std::size_t>;  // ranks, rising

// Units (cores or hardware threads) by who may use them, those with the fewest candidates first: such ranks
// have the least choice.
std::vector<std::pair<Owners, std::vector<IndexSet>>> group_by_candidates(
    const std::vector<IndexSet>& units, const std::vector<IndexSet>& allowed) {
  std::map<Owners, std::vector<IndexSet>> groups;
  for (const IndexSet& unit : units) {
    Owners candidates;
    for (std::size_t rank = 0; rank < allowed.size(); ++rank)
      if (unit.overlaps(allowed[rank])) candidates.push_back(rank);
    if (!candidates.empty()) groups[candidates].push_back(unit);
  }
  std::vector<std::pair<Owners, std::vector<IndexSet>>> ordered(groups.begin(), groups.end());
  std::ranges::stable_sort(ordered, {}, [](const auto& group) { return group.first.size(); });
  return ordered;
}

// The units of each rank, in order.
std::vector<std::vector<IndexSet>> deal(const std::vector<IndexSet>& units,
                                        const std::vector<IndexSet>& allowed) {
  std::vector<std::vector<IndexSet>> dealt(allowed.size());
  for (const auto& [candidates, group] : group_by_candidates(units, allowed)) {
    std::map<std::size_t, std::size_t> gains;  // counted first, so that each rank's units are consecutive
    for (std::size_t i = 0; i < group.size(); ++i)
      ++gains[*std::ranges::min_element(candidates, {},
                                        [&](std::size_t rank) { return dealt[rank].size() + gains[rank]; })];
    auto next = group.begin();
    for (const auto& [rank, count] : gains)
      for (std::size_t i = 0; i < count; ++i) dealt[rank].push_back(*next++ & allowed[rank]);
  }
  return dealt;
}

bool has_all(const std::vector<std::vector<IndexSet>>& dealt) {
  return std::ranges::none_of(dealt, [](const auto& units) { return units.empty(); });
}

std::vector<IndexSet> one_by_one(const std::vector<IndexSet>& cores) {
  std::vector<IndexSet> threads;
  for (const IndexSet& core : cores)
    for (const int cpu : core) threads.push_back({cpu});
  return threads;
}

}  // namespace

std::vector<IndexSet> parts_of(const std::vector<IndexSet>& cores, const IndexSet& cpus) {
  std::vector<IndexSet> parts;
  for (const IndexSet& core : cores)
    if (IndexSet part = core & cpus; !part.empty()) parts.push_back(std::move(part));
  return parts;
}

Dealt deal_cores(const std::vector<IndexSet>& cores, const std::vector<IndexSet>& allowed) {
  if (auto dealt = deal(cores, allowed); has_all(dealt)) return {std::move(dealt), false};
  Dealt result;
  const auto threads = deal(one_by_one(cores), allowed);
  result.shared = !has_all(threads);
  for (std::size_t rank = 0; rank < allowed.size(); ++rank) {
    IndexSet cpus = allowed[rank];
    if (!result.shared) {
      cpus = {};
      for (const IndexSet& thread : threads[rank]) cpus |= thread;
    }
    result.cores.push_back(parts_of(cores, cpus));
  }
  return result;
}

}  // namespace optpipe::topology
