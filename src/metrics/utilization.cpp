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

// What travels between ranks.
struct Numbers {
  Utilization use;
  Bytes disk_read = 0, disk_written = 0;
};

nlohmann::json disk_use(const RankUse& rank) {
  const auto rate = [&](Bytes bytes, Queue queue) -> nlohmann::json {
    const auto q = static_cast<std::size_t>(queue);
    const double seconds = rank.use.prefill.busy_s[q] + rank.use.decode.busy_s[q];
    if (bytes == 0 || seconds <= 0) return nullptr;
    return static_cast<double>(bytes) / seconds;
  };
  return {{"read_bytes", rank.disk_read},
          {"written_bytes", rank.disk_written},
          {"read_bytes_s", rate(rank.disk_read, Queue::disk_read)},
          {"written_bytes_s", rate(rank.disk_written, Queue::disk_write)}};
}

std::string to_line(std::size_t rank, const char* phase, const PhaseUse& use) {
  std::string line = fmt::format("{:>4} {:<8} {:>9.3f}", rank, phase, use.span_s);
  for (const double busy : use.busy_s) line += fmt::format(" {:>10.3f}", busy);
  const auto share = transfer_under_compute(use);
  line += share ? fmt::format(" {:>7.0f} %", *share * 100) : fmt::format(" {:>9}", "-");
  return line + "  " + binding_resource(use);
}

}  // namespace

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
    case Queue::host:
      return "attention on CPU cores";
  }
  return "";
}

std::vector<RankUse> gather_use(comm::Transport& transport, const RankUse& own) {
  static_assert(std::is_trivially_copyable_v<Numbers>);
  const Numbers numbers{own.use, own.disk_read, own.disk_written};
  std::vector<std::byte> data(sizeof numbers + own.host.size());
  std::memcpy(data.data(), &numbers, sizeof numbers);
  std::memcpy(data.data() + sizeof numbers, own.host.data(), own.host.size());
  std::vector<RankUse> ranks;
  for (const auto& each : transport.gather(std::move(data), Rank(0))) {
    OPTPIPE_CHECK(each.size() >= sizeof numbers, "a rank's use of {} bytes", each.size());
    Numbers theirs;
    std::memcpy(&theirs, each.data(), sizeof theirs);
    ranks.push_back(
        {std::string(reinterpret_cast<const char*>(each.data()) + sizeof theirs, each.size() - sizeof theirs),
         theirs.use, theirs.disk_read, theirs.disk_written});
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
    if (schedule::computes(static_cast<Queue>(q))) continue;
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
         {"phases", {{"prefill", to_json(ranks[i].use.prefill)}, {"decode", to_json(ranks[i].use.decode)}}},
         {"disk", disk_use(ranks[i])}});
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
