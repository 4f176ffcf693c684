#include "cli/place_attention.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "optpipe/base/log.hpp"
#include "optpipe/executor/pipeline.hpp"
#include "optpipe/planner/attention.hpp"
#include "optpipe/probe/probe.hpp"

namespace optpipe::cli {
namespace {

using planner::AttentionCeilings;

// By rising numbers of threads; the same one twice where only one was measured.
using Ceilings = std::array<AttentionCeilings, 2>;

// Of the first round's longest GPU batch, halfway through its decode.
probe::AttentionShape shape_of(const Job& job, const memory::Policy& policy,
                               const std::vector<memory::Round>& rounds) {
  probe::AttentionShape shape{policy.kv_format, job.config.heads, job.config.head_dim(), 1, 1};
  for (const memory::Round& round : rounds) {
    for (const auto& micro_batch : round.micro_batches)
      for (const auto& batch : micro_batch) {
        shape.sequences = std::max(shape.sequences, std::ssize(batch));
        for (const auto& each : batch)
          shape.context = std::max(shape.context, each.prompt_tokens + each.new_tokens / 2);
      }
  }
  return shape;
}

// Collective. Without a GPU nothing is measured: nothing crosses to one.
Ceilings measure_ceilings(const Job& job, const probe::AttentionShape& shape, comm::Transport& transport) {
  Ceilings ceilings;
  ceilings.fill(planner::described_ceilings(job.threads));
  if (!job.gpu) return ceilings;
  probe::Options options;
  options.gpu = job.gpu;
  options.threads = planner::attending_threads(job.threads);
  options.binding = job.binding;
  const auto measured = probe::measure_shared_memory(options, shape, transport);
  for (const auto& rates : measured)
    log::info(
        "measured for the place of attention: {} threads attend to {:.1f} GB/s beside copies of {:.1f} "
        "GB/s; alone {:.1f} and {:.1f}",
        rates.threads, rates.cores / 1e9, rates.copies / 1e9, rates.cores_alone / 1e9,
        rates.copies_alone / 1e9);
  const auto to_ceilings = [](const probe::SharedMemoryRates& rates) -> AttentionCeilings {
    return {rates.copies, rates.cores, rates.copies_alone, rates.cores_alone, rates.threads};
  };
  return {to_ceilings(measured.front()), to_ceilings(measured.back())};
}

// The slowest rank's, on all ranks.
Ceilings agree_on(Ceilings own, comm::Transport& transport) {
  static_assert(std::is_trivially_copyable_v<Ceilings>);
  std::vector<std::byte> data(sizeof own);
  std::memcpy(data.data(), &own, sizeof own);
  for (const auto& each : transport.gather(data, Rank(0))) {
    Ceilings theirs;
    std::memcpy(&theirs, each.data(), sizeof theirs);
    for (std::size_t i = 0; i < own.size(); ++i) {
      const auto take_less = [&](auto AttentionCeilings::*rate) {
        own[i].*rate = std::min(own[i].*rate, theirs[i].*rate);
      };
      take_less(&AttentionCeilings::link_bytes_s);
      take_less(&AttentionCeilings::cpu_bytes_s);
      take_less(&AttentionCeilings::link_alone_bytes_s);
      take_less(&AttentionCeilings::cpu_alone_bytes_s);
      take_less(&AttentionCeilings::threads);
    }
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
  const auto settle = [&](const Ceilings& ceilings) {
    const DType weights = executor::weight_dtype(
        job.config, job.slices[static_cast<std::size_t>(transport.rank().value)], *job.weights);
    return planner::settle_attention(policy, job.config, job.slices, rounds, weights, backend,
                                     {ceilings.begin(), ceilings.end()});
  };
  if (planner::is_settled(policy)) return policy;
  const auto ceilings = agree_on(measure_ceilings(job, shape_of(job, policy, rounds), transport), transport);
  executor::agree(transport, [&] { policy = settle(ceilings); });
  if (policy.attention == memory::AttentionPlace::split)
    log::info(
        "attention: CPU cores attend to {:.0f} % of the KV cache on the host, {} threads of a rank's {}",
        100 * *policy.attention_share,
        policy.attention_threads > 0 ? policy.attention_threads : planner::attending_threads(job.threads),
        job.threads);
  return policy;
}

}  // namespace optpipe::cli
