#include "cli/place_attention.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "optpipe/base/log.hpp"
#include "optpipe/executor/pipeline.hpp"
#include "optpipe/planner/attention.hpp"
#include "optpipe/probe/probe.hpp"

namespace optpipe::cli {
namespace {

using planner::AttentionCeilings;

// Collective. Without a GPU nothing is measured: nothing crosses to one.
AttentionCeilings measure_ceilings(const Job& job, StorageFormat kv, comm::Transport& transport) {
  if (!job.gpu) return planner::described_ceilings(job.threads);
  probe::Options options;
  options.gpu = job.gpu;
  options.threads = planner::attending_threads(job.threads);
  options.binding = job.binding;
  const auto rates = probe::measure_shared_memory(options, kv, transport);
  log::debug("measured for the place of attention: cores attend to {:.0f} GB/s beside copies of {:.0f} GB/s",
             rates.cores / 1e9, rates.copies / 1e9);
  return {.link_bytes_s = rates.copies, .cpu_bytes_s = rates.cores};
}

// The slowest rank's, on all ranks.
AttentionCeilings agree_on(AttentionCeilings own, comm::Transport& transport) {
  static_assert(std::is_trivially_copyable_v<AttentionCeilings>);
  std::vector<std::byte> data(sizeof own);
  std::memcpy(data.data(), &own, sizeof own);
  for (const auto& each : transport.gather(data, Rank(0))) {
    AttentionCeilings theirs;
    std::memcpy(&theirs, each.data(), sizeof theirs);
    own.link_bytes_s = std::min(own.link_bytes_s, theirs.link_bytes_s);
    own.cpu_bytes_s = std::min(own.cpu_bytes_s, theirs.cpu_bytes_s);
  }
  std::memcpy(data.data(), &own, sizeof own);
  data = transport.broadcast(std::move(data), Rank(0));
  std::memcpy(&own, data.data(), sizeof own);
  return own;
}

}  // namespace

memory::Policy place_attention(const Job& job, memory::Policy policy,
                               const std::vector<memory::Round>& rounds, comm::Transport& transport) {
  const auto backend = job.gpu ? planner::Backend::cuda : planner::Backend::cpu;
  const auto settle = [&](const AttentionCeilings& ceilings) {
    const DType weights = executor::weight_dtype(
        job.config, job.slices[static_cast<std::size_t>(transport.rank().value)], *job.weights);
    return planner::settle_attention(policy, job.config, job.slices, rounds, weights, backend, ceilings);
  };
  if (planner::is_settled(policy)) return policy;
  const auto ceilings = agree_on(measure_ceilings(job, policy.kv_format, transport), transport);
  executor::agree(transport, [&] { policy = settle(ceilings); });
  if (policy.attention == memory::AttentionPlace::split)
    log::info("attention: CPU cores attend to {:.0f} % of the KV cache on the host",
              100 * *policy.attention_share);
  return policy;
}

}  // namespace optpipe::cli
