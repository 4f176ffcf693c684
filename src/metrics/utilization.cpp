#include "optpipe/metrics/utilization.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <type_traits>

#include "optpipe/base/check.hpp"

namespace optpipe::metrics {
namespace {

using schedule::kQueues;
using schedule::PhaseUse;
using schedule::Queue;
using schedule::Utilization;

constexpr double kBinds = 0.6;  // of the phase: what is busy for less does not hold it up by itself

const char* resource_of(Queue queue) {
  switch (queue) {
    case Queue::compute:
      return "computation";
    case Queue::load:
      return "host to device copies";
    case Queue::store:
      return "device to host copies";
    case Queue::disk_read:
      return "disk reads";
    case Queue::disk_write:
      return "disk writes";
    case Queue::recv:
    case Queue::send:
      return "network";
  }
  return "";
}

nlohmann::json by_queue(const std::array<double, kQueues>& seconds) {
  nlohmann::json json;
  for (std::size_t q = 0; q < kQueues; ++q) json[name_of(static_cast<Queue>(q))] = seconds[q];
  return json;
}

nlohmann::json to_json(const PhaseUse& use) {
  if (use.span_s <= 0) return nullptr;
  const auto share = transfer_under_compute(use);
  return {{"span_s", use.span_s},
          {"busy_s", by_queue(use.busy_s)},
          {"under_compute_s", by_queue(use.covered_s)},
          {"transfer_under_compute", share ? nlohmann::json(*share) : nlohmann::json(nullptr)},
          {"binds", binding_resource(use)}};
}

std::string to_line(std::size_t rank, const char* phase, const PhaseUse& use) {
  std::string line = fmt::format("{:>4} {:<8} {:>9.3f}", rank, phase, use.span_s);
  for (const double busy : use.busy_s) line += fmt::format(" {:>10.3f}", busy);
  const auto share = transfer_under_compute(use);
  line += share ? fmt::format(" {:>7.0f} %", *share * 100) : fmt::format(" {:>9}", "-");
  return line + "  " + binding_resource(use);
}

}  // namespace

std::vector<RankUse> gather_use(comm::Transport& transport, const Utilization& own) {
  static_assert(std::is_trivially_copyable_v<Utilization>);
  const std::string host = transport.node().host;
  std::vector<std::byte> data(sizeof own + host.size());
  std::memcpy(data.data(), &own, sizeof own);
  std::memcpy(data.data() + sizeof own, host.data(), host.size());
  std::vector<RankUse> ranks;
  for (const auto& each : transport.gather(std::move(data), Rank(0))) {
    OPTPIPE_CHECK(each.size() >= sizeof own, "a rank's use of {} bytes", each.size());
    RankUse& rank = ranks.emplace_back();
    std::memcpy(&rank.use, each.data(), sizeof own);
    rank.host.assign(reinterpret_cast<const char*>(each.data()) + sizeof own, each.size() - sizeof own);
  }
  return ranks;
}

std::string binding_resource(const PhaseUse& use) {
  if (use.span_s <= 0) return {};
  const auto busiest = std::ranges::max_element(use.busy_s);
  if (*busiest < kBinds * use.span_s) return "waiting";
  return resource_of(static_cast<Queue>(busiest - use.busy_s.begin()));
}

std::optional<double> transfer_under_compute(const PhaseUse& use) {
  double busy = 0, covered = 0;
  for (std::size_t q = 0; q < kQueues; ++q) {
    if (static_cast<Queue>(q) == Queue::compute) continue;
    busy += use.busy_s[q];
    covered += use.covered_s[q];
  }
  if (busy <= 0) return std::nullopt;
  return covered / busy;
}

nlohmann::json to_json(std::span<const RankUse> ranks) {
  auto json = nlohmann::json::array();
  for (std::size_t i = 0; i < ranks.size(); ++i)
    json.push_back(
        {{"rank", i},
         {"host", ranks[i].host},
         {"phases", {{"prefill", to_json(ranks[i].use.prefill)}, {"decode", to_json(ranks[i].use.decode)}}}});
  return json;
}

std::vector<std::string> to_table(std::span<const RankUse> ranks) {
  std::string heading = fmt::format("{:>4} {:<8} {:>9}", "rank", "phase", "seconds");
  for (std::size_t q = 0; q < kQueues; ++q) heading += fmt::format(" {:>10}", name_of(static_cast<Queue>(q)));
  std::vector<std::string> lines{heading + " overlapped  bound by"};
  for (std::size_t i = 0; i < ranks.size(); ++i) {
    lines.push_back(to_line(i, "prefill", ranks[i].use.prefill));
    if (ranks[i].use.decode.span_s > 0) lines.push_back(to_line(i, "decode", ranks[i].use.decode));
  }
  return lines;
}

}  // namespace optpipe::metrics
