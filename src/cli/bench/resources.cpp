#include "cli/bench/resources.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "optpipe/base/error.hpp"

namespace optpipe::cli {
namespace {

using schedule::kQueues;
using schedule::Queue;

constexpr auto kLoad = static_cast<std::size_t>(Queue::load);

simulator::Scenario scenario_of(const BenchOptions& options, const Job& job, const ReadyStage& ready,
                                const Workload& workload, const comm::Transport& transport) {
  simulator::Scenario scenario;
  scenario.config = job.config;
  scenario.slices = job.slices;
  scenario.policy = options.run.policy;
  scenario.weights = job.gpu ? DType::f16 : executor::weight_dtype(job.config, job.slices[0], *job.weights);
  scenario.ranks_per_node = transport.node().local_size;
  scenario.backend = job.gpu ? planner::Backend::cuda : planner::Backend::cpu;
  scenario.device_link = ready.uses_nccl;
  scenario.threads = job.threads;
  for (std::int64_t i = 0; i < workload.prompts; ++i)
    scenario.sequences.push_back({i, workload.prompt_len, workload.run_len});
  return scenario;
}

double share(double part, double whole) { return whole > 0 ? part / whole : 0; }

// Calls `line(phase, queue, busy, floor or none, bytes)` for each queue that did anything.
template <class Line>
void for_each_queue(const Resources& resources, const metrics::RankUse& use, std::size_t rank, Line line) {
  for (const bool prefill : {true, false}) {
    const auto& busy = prefill ? use.use.prefill : use.use.decode;
    const auto phase_of = [&](const simulator::RankFloor& of) -> const simulator::PhaseFloor& {
      return prefill ? of.prefill : of.decode;
    };
    for (std::size_t q = 0; q < kQueues; ++q) {
      if (busy.busy_s[q] <= 0) continue;
      const auto floor =
          resources.floors.empty() ? std::nullopt : std::optional(phase_of(resources.floors[rank]).work_s[q]);
      line(prefill ? "prefill" : "decode", static_cast<Queue>(q), busy.busy_s[q], floor,
           phase_of(resources.bytes[rank]).work_s[q]);
    }
  }
}

metrics::Freedom freedom_of(const BenchOptions& options, const Job& job, bool uses_nccl, int ranks) {
  const auto& policy = options.run.policy;
  return {.on_gpu = job.gpu.has_value(),
          .through_host = !uses_nccl,
          // Remedies are priced by the bytes of now, and with X these are not those that either would move.
          .attention_on_cores = policy.cpu_attention() > 0 || policy.x_cache,
          .quantized_weights = is_quantized(policy.weight_format),
          .quantized_kv = is_quantized(policy.kv_format) || policy.x_cache,
          .ranks = ranks,
          .micro_batches = policy.micro_batches_for(ranks)};
}

}  // namespace

Resources find_resources(const BenchOptions& options, const Job& job, const ReadyStage& ready,
                         const Workload& workload, const std::vector<metrics::RankUse>& use,
                         std::optional<double> kv_share, const comm::Transport& transport) {
  Resources resources;
  const auto scenario = scenario_of(options, job, ready, workload, transport);
  resources.bytes = simulator::traffic(scenario);
  std::optional<double> cores_bytes_s;
  if (!options.machine.empty()) {
    const auto machine = simulator::load_machine(options.machine);
    resources.machine = machine.name;
    resources.floors = simulator::floors(scenario, machine);
    cores_bytes_s = machine.host_memory.cores_bytes_s / transport.node().local_size;
  }
  std::vector<metrics::RankWork> work;
  for (std::size_t rank = 0; rank < use.size(); ++rank) {
    auto& each = work.emplace_back();
    each.measured = use[rank].use.decode;
    const auto& bytes = resources.bytes[rank].decode;
    for (std::size_t q = 0; q < kQueues; ++q) each.kv_share[q] = share(bytes.kv_s[q], bytes.work_s[q]);
    each.kv_share[static_cast<std::size_t>(Queue::compute)] = kv_share.value_or(0);
    if (cores_bytes_s && *cores_bytes_s > 0) each.attention_on_cores_s = bytes.kv_s[kLoad] / *cores_bytes_s;
  }
  resources.binding =
      metrics::find_binding(work, freedom_of(options, job, ready.uses_nccl, transport.size()));
  return resources;
}

nlohmann::json to_json(const Resources& resources, const metrics::RankUse& use, std::size_t rank) {
  nlohmann::json json{{"prefill", nlohmann::json::object()}, {"decode", nlohmann::json::object()}};
  for_each_queue(
      resources, use, rank, [&](const char* phase, Queue queue, double busy_s, auto floor_s, double bytes) {
        const nlohmann::json none = nullptr;
        json[phase][name_of(queue)] = {{"busy_s", busy_s},
                                       {"floor_s", floor_s ? nlohmann::json(*floor_s) : none},
                                       {"bytes", bytes > 0 ? nlohmann::json(bytes) : none},
                                       {"bytes_s", bytes > 0 ? nlohmann::json(bytes / busy_s) : none}};
      });
  return json;
}

std::vector<std::string> resource_table(const Resources& resources,
                                        const std::vector<metrics::RankUse>& use) {
  std::vector<std::string> lines{fmt::format("{:>4} {:<8} {:<10} {:>9} {:>9} {:>9} {:>9}", "rank", "phase",
                                             "queue", "busy s", "floor s", "MB", "MB/s")};
  constexpr double kMb = 1e6;
  for (std::size_t rank = 0; rank < use.size(); ++rank)
    for_each_queue(
        resources, use[rank], rank,
        [&](const char* phase, Queue queue, double busy_s, auto floor_s, double bytes) {
          lines.push_back(fmt::format("{:>4} {:<8} {:<10} {:>9.3f} {:>9} {:>9} {:>9}", rank, phase,
                                      name_of(queue), busy_s, floor_s ? fmt::format("{:.3f}", *floor_s) : "-",
                                      bytes > 0 ? fmt::format("{:.1f}", bytes / kMb) : "-",
                                      bytes > 0 ? fmt::format("{:.0f}", bytes / busy_s / kMb) : "-"));
        });
  return lines;
}

}  // namespace optpipe::cli
