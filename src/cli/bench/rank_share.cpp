#include "cli/bench/rank_share.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace optpipe::cli {
namespace {

using metrics::Activity;
using metrics::kActivities;

std::string device_of(const RankShare& share) {
  return share.gpu < 0 ? "CPU" : fmt::format("GPU {}", share.gpu);
}

constexpr std::array kPlaceKeys{"gpu", "pinned", "plain", "disk"};
constexpr std::array kClassKeys{"weights",       "kv",     "activations", "staging", "workspaces",
                                "communication", "runtime"};
static_assert(kPlaceKeys.size() == planner::kPlaces.size());
static_assert(kClassKeys.size() == planner::kMemoryClasses.size());

nlohmann::json to_json(const planner::Ledger& ledger) {
  nlohmann::json json;
  for (std::size_t p = 0; p < kPlaceKeys.size(); ++p)
    for (std::size_t c = 0; c < kClassKeys.size(); ++c)
      json[kPlaceKeys[p]][kClassKeys[c]] = ledger.at(planner::kPlaces[p], planner::kMemoryClasses[c]);
  return json;
}

std::string memory_columns(const planner::Ledger& ledger, planner::MemoryClass what) {
  const auto gib = [](Bytes bytes) { return static_cast<double>(bytes) / static_cast<double>(kGiB); };
  return fmt::format(" {:>8.3f} {:>8.3f} {:>8.3f}", gib(ledger.at(planner::Place::gpu, what)),
                     gib(ledger.host(what)), gib(ledger.at(planner::Place::disk, what)));
}

std::string time_line(std::size_t rank, const char* phase, const metrics::PhaseSplit& split) {
  std::string line = fmt::format("{:>4} {:<8} {:>9.3f}", rank, phase, split.total());
  for (const double seconds : split.seconds) line += fmt::format(" {:>10.3f}", seconds);
  return line;
}

}  // namespace

nlohmann::json to_json(const RankShare& share) {
  return {{"device", device_of(share)},
          {"threads", share.threads},
          {"layers", {share.first_layer, share.last_layer}},
          {"memory", to_json(share.memory)},
          {"split",
           {{"prefill", metrics::to_json(share.split.prefill)},
            {"decode", metrics::to_json(share.split.decode)}}}};
}

std::vector<std::string> memory_table(const std::vector<RankShare>& shares,
                                      const std::vector<metrics::RankUse>& use) {
  using planner::MemoryClass;
  constexpr std::array kShown{MemoryClass::weights, MemoryClass::kv, MemoryClass::activations,
                              MemoryClass::staging};
  std::string classes = fmt::format("{:<37}", "GB on GPU, host, disk");
  for (const auto what : kShown) classes += fmt::format(" {:>26}", planner::name_of(what));
  std::vector<std::string> lines{classes,
                                 fmt::format("{:>4} {:<16} {:<7} {:>7}", "rank", "host", "device", "layers")};
  for (std::size_t rank = 0; rank < shares.size(); ++rank) {
    const RankShare& share = shares[rank];
    std::string line =
        fmt::format("{:>4} {:<16} {:<7} {:>7}", rank, use[rank].host.substr(0, 16), device_of(share),
                    fmt::format("{}-{}", share.first_layer, share.last_layer));
    for (const auto what : kShown) line += memory_columns(share.memory, what);
    lines.push_back(line);
  }
  return lines;
}

std::vector<std::string> time_table(const std::vector<RankShare>& shares) {
  std::string heading = fmt::format("{:>4} {:<8} {:>9}", "rank", "phase", "seconds");
  for (std::size_t a = 0; a < kActivities; ++a)
    heading += fmt::format(" {:>10}", metrics::name_of(static_cast<Activity>(a)));
  std::vector<std::string> lines{heading};
  for (std::size_t rank = 0; rank < shares.size(); ++rank) {
    lines.push_back(time_line(rank, "prefill", shares[rank].split.prefill));
    lines.push_back(time_line(rank, "decode", shares[rank].split.decode));
  }
  return lines;
}

}  // namespace optpipe::cli
