#include "cli/binding_report.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>

#include "optpipe/base/log.hpp"

namespace optpipe::cli {
namespace {

using executor::RankBinding;

std::string dash_if_empty(std::string text) { return text.empty() ? "-" : std::move(text); }

// "bound", with what became of it where that is not the whole truth.
std::string memory_text(const RankBinding& rank) {
  const auto& status = rank.status;
  std::string text(name_of(status.memory));
  if (status.pages_at_home < status.pages_seen)
    text += fmt::format(" ({:.0f} % there)", 100.0 * static_cast<double>(status.pages_at_home) /
                                                 static_cast<double>(status.pages_seen));
  return text;
}

std::string cpus_text(const RankBinding& rank) {
  return rank.placement.cpus().to_string() + (rank.placement.shared ? " shared" : "");
}

// The ranks of a host that share a fate.
using RanksByHost = std::map<std::string, std::vector<const RankBinding*>>;

RanksByHost ranks_where(std::span<const RankBinding> ranks,
                        const std::function<bool(const RankBinding&)>& is_so) {
  RanksByHost found;
  for (const auto& rank : ranks)
    if (is_so(rank)) found[rank.host].push_back(&rank);
  return found;
}

Remark refused_memory(const std::string& host, int error, bool matters) {
  return {fmt::format(
              "{}: the system refuses to bind memory (mbind: {}), so it lies where pinned threads touch it "
              "first: "
              "{}. In a "
              "container, docker run --cap-add SYS_NICE allows it, or a seccomp profile that allows mbind",
              host, std::strerror(error),
              matters ? "as fast, but a node that runs full spills to a farther one unnoticed"
                      : "no loss here, with one NUMA node"),
          matters};
}

Remark refused_cpus(const std::string& host, int error, bool matters) {
  return {
      fmt::format(
          "{}: the system refuses to pin threads (sched_setaffinity: {}): {}. Allow it in the container's "
          "seccomp "
          "profile, or silence this by --bind none",
          host, std::strerror(error),
          matters ? "they may wander to NUMA nodes far from their memory and their GPU, which can halve its "
                    "bandwidth"
                  : "they may move from core to core"),
      true};
}

}  // namespace

std::vector<std::string> binding_table(std::span<const RankBinding> ranks) {
  std::size_t host_width = 4, cpu_width = 5;
  for (const auto& rank : ranks) {
    host_width = std::max(host_width, rank.host.size());
    cpu_width = std::max(cpu_width, cpus_text(rank).size());
  }
  const auto line = [&](const std::string& rank, const std::string& host, const std::string& gpu,
                        const std::string& bus, const std::string& node, const std::string& cpus,
                        const std::string& threads, const std::string& memory) {
    return fmt::format("{:>4} {:<{}} {:>3} {:<12} {:>4} {:<{}} {:>7} {}", rank, host, host_width, gpu, bus,
                       node, cpus, cpu_width, threads, memory);
  };
  std::vector<std::string> lines{line("rank", "host", "GPU", "PCI id", "node", "cores", "threads", "memory")};
  for (const auto& rank : ranks)
    lines.push_back(line(std::to_string(rank.rank), rank.host, rank.gpu ? std::to_string(*rank.gpu) : "-",
                         dash_if_empty(rank.pci_bus), dash_if_empty(rank.placement.nodes.to_string()),
                         cpus_text(rank), std::to_string(rank.threads), memory_text(rank)));
  return lines;
}

std::vector<Remark> binding_remarks(std::span<const RankBinding> ranks) {
  std::vector<Remark> remarks;
  for (const auto& [host, found] : ranks_where(ranks, [](const auto& r) { return r.status.cpu_error != 0; }))
    remarks.push_back(refused_cpus(host, found[0]->status.cpu_error, found[0]->host_nodes > 1));
  for (const auto& [host, found] :
       ranks_where(ranks, [](const auto& r) { return r.status.memory_error != 0; }))
    remarks.push_back(refused_memory(host, found[0]->status.memory_error, found[0]->host_nodes > 1));
  for (const auto& [host, found] : ranks_where(ranks, [](const auto& r) { return !r.placement.near_gpu; })) {
    std::vector<int> numbers;
    for (const auto* rank : found) numbers.push_back(rank->rank);
    remarks.push_back({fmt::format(
        "{}: the launcher leaves rank(s) {} no core beside their GPU, so that threads work far from their "
        "memory: start mpirun with --bind-to none and leave the cores to optpipe",
        host, fmt::join(numbers, ", "))});
  }
  return remarks;
}

nlohmann::json binding_json(const std::string& mode, std::span<const RankBinding> ranks) {
  auto rows = nlohmann::json::array();
  for (const auto& rank : ranks) {
    const auto& status = rank.status;
    const auto share = [&]() -> nlohmann::json {
      if (status.pages_seen == 0) return nullptr;
      return static_cast<double>(status.pages_at_home) / static_cast<double>(status.pages_seen);
    };
    rows.push_back(
        {{"rank", rank.rank},
         {"host", rank.host},
         {"gpu", rank.gpu ? nlohmann::json(*rank.gpu) : nlohmann::json(nullptr)},
         {"pci_bus", rank.pci_bus.empty() ? nlohmann::json(nullptr) : nlohmann::json(rank.pci_bus)},
         {"numa_nodes", std::vector<int>(rank.placement.nodes.begin(), rank.placement.nodes.end())},
         {"cpus", rank.placement.cpus().to_string()},
         {"cores", rank.placement.cores.size()},
         {"threads", rank.threads},
         {"shared", rank.placement.shared},
         {"near_gpu", rank.placement.near_gpu},
         {"bound", rank.carried_out && status.cpu_error == 0},
         {"memory", name_of(status.memory)},
         {"memory_bytes", status.placed},
         {"memory_bytes_not_strict", status.preferred},
         {"pages_seen", status.pages_seen},
         {"pages_on_nodes", share()}});
  }
  auto remarks = nlohmann::json::array();
  for (const auto& remark : binding_remarks(ranks)) remarks.push_back(remark.text);
  return {{"mode", mode}, {"ranks", std::move(rows)}, {"remarks", std::move(remarks)}};
}

void log_bindings(const std::string& mode, std::span<const RankBinding> ranks) {
  const auto level = mode == "report" ? log::level::info : log::level::debug;
  if (!ranks.empty())
    for (const auto& line : binding_table(ranks)) log::log(level, "{}", line);
  for (const auto& remark : binding_remarks(ranks))
    log::log(remark.costs ? log::level::warn : log::level::info, "{}", remark.text);
}

}  // namespace optpipe::cli
