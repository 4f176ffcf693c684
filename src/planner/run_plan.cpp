#include "optpipe/planner/run_plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <tuple>

namespace optpipe::planner {
namespace {

// On the first rank: prompts and results, and what is kept of each besides tokens.
Bytes prompt_bytes(const std::vector<memory::Sequence>& sequences) {
  constexpr Bytes kToken = 4, kSequence = 256;
  Bytes bytes = 0;
  for (const auto& sequence : sequences)
    bytes += static_cast<Bytes>(sequence.prompt_tokens + sequence.new_tokens) * kToken + kSequence;
  return bytes;
}

// On a GPU rank the driver is loaded already, and has its own entry.
Bytes process_bytes(const RankResources& rank) {
  const Bytes driver = rank.backend == Backend::cuda ? std::min(rank.process, runtime::kCudaHost) : 0;
  return std::max(rank.process - driver + runtime::kGrowth, runtime::kProcess);
}

// Memory that some ranks share.
struct Pool {
  Place place;
  std::string where;
  memory::Budget budget;
  std::vector<int> ranks;
};

memory::Budget smaller(const memory::Budget& a, const memory::Budget& b) { return b.bytes < a.bytes ? b : a; }

// Each rank saw the shared memory at its own time: the least that any saw counts.
std::vector<Pool> find_pools(const RunRequest& run) {
  std::map<std::tuple<Place, std::string, std::string>, Pool> pools;
  const auto add = [&](int rank, Place place, const std::string& host, const std::string& name,
                       const std::string& where, const memory::Budget& budget) {
    const auto [entry, is_new] = pools.try_emplace({place, host, name}, Pool{place, where, budget, {}});
    entry->second.ranks.push_back(rank);
    entry->second.budget = smaller(entry->second.budget, budget);
  };
  for (std::size_t i = 0; i < run.ranks.size(); ++i) {
    const RankResources& rank = run.ranks[i];
    const int number = static_cast<int>(i);
    add(number, Place::plain, rank.host, {}, rank.host, rank.host_memory);
    if (!rank.gpu.empty())
      add(number, Place::gpu, rank.host, rank.gpu, fmt::format("GPU {} of {}", rank.gpu, rank.host),
          rank.gpu_memory);
    if (!rank.disk.in_memory)
      add(number, Place::disk, rank.host, rank.disk.file_system, rank.host, rank.disk.left);
  }
  std::vector<Pool> list;
  for (auto& [key, pool] : pools) list.push_back(std::move(pool));
  return list;
}

Bytes taken(const RankResources& rank, const Ledger& ledger, Place place) {
  if (place != Place::plain) return ledger.total(place);
  return ledger.host() + (rank.disk.in_memory ? ledger.total(Place::disk) : 0);
}

Bytes taken(const RunRequest& run, const std::vector<Ledger>& ledgers, const Pool& pool) {
  Bytes sum = 0;
  for (const int rank : pool.ranks) {
    const auto i = static_cast<std::size_t>(rank);
    sum += taken(run.ranks[i], ledgers[i], pool.place);
  }
  return sum;
}

}  // namespace

std::vector<Ledger> plan_run(const RunRequest& run, const memory::Policy& policy) {
  const int ranks = static_cast<int>(run.ranks.size());
  const auto rounds = memory::make_rounds(run.sequences, policy, ranks);
  // Ranks in the middle of a long pipeline are alike.
  std::map<std::tuple<std::int64_t, std::int64_t, bool, bool, Backend, DType, int, Bytes>, Ledger> known;
  std::vector<Ledger> ledgers;
  for (std::size_t i = 0; i < run.ranks.size(); ++i) {
    const RankResources& rank = run.ranks[i];
    const model::StageSlice& slice = run.slices[i];
    const auto [entry, is_new] =
        known.try_emplace({slice.layers, slice.run_layers, slice.embedding, slice.head, rank.backend,
                           rank.weights, rank.threads, rank.process});
    if (is_new) {
      const StagePlan plan =
          plan_stage({run.config, slice, rank.weights, rounds, policy, ranks, rank.backend, run.device_link});
      RuntimeUse use{.threads = rank.threads, .process = process_bytes(rank)};
      for (const auto& round : rounds) use.steps = std::max(use.steps, most_steps(plan, slice, round));
      if (slice.embedding) use.prompts = prompt_bytes(run.sequences);
      entry->second = make_ledger(plan, use);
    }
    ledgers.push_back(entry->second);
  }
  return ledgers;
}

std::vector<Shortage> find_shortages(const RunRequest& run, const std::vector<Ledger>& ledgers) {
  std::vector<Shortage> shortages;
  for (const Pool& pool : find_pools(run)) {
    const Bytes wanted = taken(run, ledgers, pool);
    if (wanted <= pool.budget.bytes) continue;
    Shortage shortage{pool.place, pool.ranks, pool.where, {}, wanted, pool.budget.bytes, pool.budget.source};
    for (const int rank : pool.ranks) shortage.ledger += ledgers[static_cast<std::size_t>(rank)];
    shortages.push_back(std::move(shortage));
  }
  std::ranges::stable_sort(shortages, std::greater{}, [](const Shortage& s) { return s.excess(); });
  return shortages;
}

Bytes room_left(const RunRequest& run, const std::vector<Ledger>& ledgers, std::size_t rank, Place place) {
  for (const Pool& pool : find_pools(run)) {
    if (pool.place != place || std::ranges::find(pool.ranks, static_cast<int>(rank)) == pool.ranks.end())
      continue;
    const Bytes wanted = taken(run, ledgers, pool);
    return wanted < pool.budget.bytes ? pool.budget.bytes - wanted : 0;
  }
  return 0;
}

}  // namespace optpipe::planner
