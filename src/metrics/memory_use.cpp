#include "optpipe/metrics/memory_use.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>

#include "optpipe/base/check.hpp"

namespace optpipe::metrics {
namespace {

using planner::Ledger;
using planner::Place;

const char* key_of(Place place) {
  constexpr std::array keys{"gpu", "pinned", "plain", "disk"};
  return keys[static_cast<std::size_t>(place)];
}

const char* key_of(planner::MemoryClass what) {
  constexpr std::array keys{"weights",       "kv",     "activations", "staging", "workspaces",
                            "communication", "runtime"};
  return keys[static_cast<std::size_t>(what)];
}

nlohmann::json to_json(const Ledger& ledger, Place place) {
  nlohmann::json json;
  for (const auto what : planner::kMemoryClasses) json[key_of(what)] = ledger.at(place, what);
  json["total"] = ledger.total(place);
  return json;
}

std::string line(const RankMemory& rank, std::size_t number, const char* place, Bytes planned, Bytes measured,
                 const std::vector<std::pair<const char*, Bytes>>& classes) {
  std::string text = fmt::format("{:>4} {:<14} {:<8} {:>12} {:>12} ", number, rank.host, place,
                                 format_bytes(planned), format_bytes(measured));
  for (const auto& [name, bytes] : classes)
    if (bytes > 0) text += fmt::format(" {} {},", name, format_bytes(bytes));
  text.pop_back();
  return text;
}

struct Use {
  Bytes measured = 0, planned = 0;
  std::uint64_t ranks = 0;
};

Use fullest(const std::map<std::string, Use>& places) {
  const auto most =
      std::ranges::max_element(places, {}, [](const auto& place) { return place.second.measured; });
  return most == places.end() ? Use{} : most->second;
}

}  // namespace

std::vector<RankMemory> gather_memory(comm::Transport& transport, const std::vector<Ledger>& planned,
                                      const MeasuredMemory& own) {
  const std::string host = transport.node().host;
  std::vector<std::byte> data(sizeof(MeasuredMemory) + host.size());
  std::memcpy(data.data(), &own, sizeof own);
  std::memcpy(data.data() + sizeof own, host.data(), host.size());
  const auto gathered = transport.gather(std::move(data), Rank(0));
  std::vector<RankMemory> ranks;
  OPTPIPE_CHECK(gathered.empty() || gathered.size() == planned.size(), "{} plans for {} ranks",
                planned.size(), gathered.size());
  for (std::size_t i = 0; i < gathered.size(); ++i) {
    RankMemory& rank = ranks.emplace_back();
    const auto& bytes = gathered[i];
    OPTPIPE_CHECK(bytes.size() >= sizeof(MeasuredMemory), "{} bytes of measured memory", bytes.size());
    std::memcpy(&rank.measured, bytes.data(), sizeof(MeasuredMemory));
    rank.host.assign(reinterpret_cast<const char*>(bytes.data()) + sizeof(MeasuredMemory),
                     bytes.size() - sizeof(MeasuredMemory));
    rank.planned = planned[i];
  }
  return ranks;
}

PeakMemory find_peak(std::span<const RankMemory> ranks, std::span<const std::string> gpus) {
  OPTPIPE_CHECK(gpus.size() == ranks.size(), "{} GPUs of {} ranks", gpus.size(), ranks.size());
  std::map<std::string, Use> hosts, devices;
  for (std::size_t i = 0; i < ranks.size(); ++i) {
    const RankMemory& rank = ranks[i];
    Use& host = hosts[rank.host];
    host.measured += rank.measured.host;
    host.planned += rank.planned.host();
    if (gpus[i].empty()) continue;
    Use& gpu = devices[rank.host + ' ' + gpus[i]];
    gpu.measured = std::max(gpu.measured, rank.measured.gpu);
    gpu.planned += rank.planned.total(Place::gpu);
    ++gpu.ranks;
  }
  // Each rank has seen what all took of its GPU, but no context besides its own: they were there before.
  for (auto& [name, gpu] : devices) gpu.measured += (gpu.ranks - 1) * planner::runtime::kCudaContext;
  const Use gpu = fullest(devices), host = fullest(hosts);
  return {gpu.measured, gpu.planned, host.measured, host.planned};
}

nlohmann::json to_json(std::span<const RankMemory> ranks) {
  auto list = nlohmann::json::array();
  for (std::size_t i = 0; i < ranks.size(); ++i) {
    const RankMemory& rank = ranks[i];
    nlohmann::json planned;
    for (const Place place : planner::kPlaces) planned[key_of(place)] = to_json(rank.planned, place);
    list.push_back({{"rank", i},
                    {"host", rank.host},
                    {"planned", std::move(planned)},
                    {"measured",
                     {{"gpu", rank.measured.gpu},
                      {"gpu_arenas", rank.measured.gpu_arenas},
                      {"pinned", rank.measured.pinned},
                      {"host", rank.measured.host},
                      {"disk", rank.measured.disk}}}});
  }
  return list;
}

std::vector<std::string> to_table(std::span<const RankMemory> ranks) {
  std::vector<std::string> lines{fmt::format("{:>4} {:<14} {:<8} {:>12} {:>12}  planned as", "rank", "on",
                                             "memory", "planned", "measured")};
  for (std::size_t i = 0; i < ranks.size(); ++i) {
    const RankMemory& rank = ranks[i];
    const auto add = [&](const char* place, Bytes planned, Bytes measured, auto bytes_of) {
      if (planned == 0 && measured == 0) return;
      std::vector<std::pair<const char*, Bytes>> classes;
      for (const auto what : planner::kMemoryClasses) classes.emplace_back(name_of(what), bytes_of(what));
      lines.push_back(line(rank, i, place, planned, measured, classes));
    };
    const Ledger& plan = rank.planned;
    add("GPU", plan.total(Place::gpu), rank.measured.gpu,
        [&](auto what) { return plan.at(Place::gpu, what); });
    add("host", plan.host(), rank.measured.host, [&](auto what) { return plan.host(what); });
    add("pinned", plan.total(Place::pinned), rank.measured.pinned,
        [&](auto what) { return plan.at(Place::pinned, what); });
    add("disk", plan.total(Place::disk), rank.measured.disk,
        [&](auto what) { return plan.at(Place::disk, what); });
  }
  return lines;
}

}  // namespace optpipe::metrics
