#include "optpipe/simulator/site.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

namespace optpipe::simulator {

int Site::threads_of_rank(int ranks) const {
  return threads > 0 ? threads : std::max(1, machine.cores / std::min(ranks_per_node, ranks));
}

bool Site::has_device_link(int ranks) const {
  return device_links && machine.device.is_gpu && machine.device_link.bytes_s > 0 && ranks > 1;
}

planner::AttentionCeilings attention_ceilings(const Machine& machine, StorageFormat kv) {
  const auto& memory = machine.host_memory;
  const double link = machine.copies.all_in;
  const double cores = std::min(memory.attention_bytes_s(kv),
                                std::max(memory.total_bytes_s - link, 0.1 * memory.cores_bytes_s));
  return {.link_bytes_s = link / machine.devices, .cpu_bytes_s = cores / machine.devices};
}

planner::RunRequest make_request(const Site& site, const model::ModelConfig& config,
                                 std::vector<model::StageSlice> slices, DType weights,
                                 std::vector<memory::Sequence> sequences) {
  const int ranks = static_cast<int>(slices.size());
  const auto budget = [&](const std::optional<Bytes>& given, Bytes machine, const char* flag) {
    return memory::Budget{given.value_or(machine), given ? flag : "of " + site.machine.name};
  };
  const bool disk_is_known = site.disk_space || site.machine.disk.bytes > 0;
  planner::RunRequest request{
      config, std::move(slices), {}, std::move(sequences), site.has_device_link(ranks)};
  for (int rank = 0; rank < ranks; ++rank) {
    planner::RankResources own;
    own.host = fmt::format("node {}", rank / site.ranks_per_node);
    own.weights = weights;
    own.threads = site.threads_of_rank(ranks);
    own.host_memory = budget(site.host_memory, site.machine.host_memory.bytes, "--host-mem");
    own.disk.left = disk_is_known ? budget(site.disk_space, site.machine.disk.bytes, "--disk-space")
                                  : memory::Budget{std::numeric_limits<Bytes>::max(), "not known"};
    own.disk.file_system = "disk";
    if (site.machine.device.is_gpu) {
      own.backend = planner::Backend::cuda;
      own.gpu = fmt::format("{}", rank % site.ranks_per_node % site.machine.devices);
      own.gpu_memory = budget(site.gpu_memory, site.machine.device.memory, "--gpu-mem");
    }
    request.ranks.push_back(std::move(own));
  }
  return request;
}

Scenario make_scenario(const Site& site, const planner::RunRequest& request, const memory::Policy& policy) {
  Scenario scenario;
  scenario.config = request.config;
  scenario.slices = request.slices;
  scenario.policy = policy;
  scenario.weights = request.ranks.front().weights;
  scenario.ranks_per_node = std::min(site.ranks_per_node, scenario.ranks());
  scenario.backend = request.ranks.front().backend;
  scenario.device_link = request.device_link;
  scenario.threads = request.ranks.front().threads;
  scenario.sequences = request.sequences;
  return scenario;
}

std::vector<memory::Sequence> equal_sequences(std::int64_t count, std::int64_t prompt_tokens,
                                              std::int64_t new_tokens) {
  std::vector<memory::Sequence> sequences;
  for (std::int64_t i = 0; i < count; ++i) sequences.push_back({i, prompt_tokens, new_tokens});
  return sequences;
}

}  // namespace optpipe::simulator
