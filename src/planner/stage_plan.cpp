#include "optpipe/planner/stage_plan.hpp"

#include <algorithm>

#include "optpipe/memory/arena.hpp"

namespace optpipe::planner {
namespace {

using memory::aligned;

MemoryUse account(const StagePlan& plan) {
  const BackendNeeds& needs = plan.needs;
  MemoryUse use{plan.weights.bytes, plan.kv.bytes, plan.hidden.all_homes(), {}};
  use.weights[0] += plan.weights.all_slots();
  use.weights[1] += plan.weights.all_stages();
  use.kv[0] += plan.kv.all_slots();
  use.kv[1] += plan.kv.all_stages();
  use.hidden[0] += plan.hidden.all_work();
  use.hidden[1] += plan.hidden.all_stages();
  use.workspace = {needs.attention_bytes + needs.scratch_bytes + needs.library_bytes + needs.graph_bytes,
                   needs.graph_bytes + needs.small_bytes + needs.token_bytes + needs.link_bytes, 0};
  return use;
}

}  // namespace

BatchBounds bounds_of(const std::vector<memory::Round>& rounds, const memory::Policy& policy, int ranks) {
  BatchBounds bounds{.micro_batches = policy.micro_batches_for(ranks), .gpu_batches = policy.gpu_batches};
  for (const auto& round : rounds) {
    for (const auto& micro_batch : round.micro_batches) {
      for (const auto& batch : micro_batch) {
        std::int64_t rows = 0;
        for (const auto& sequence : batch) rows += sequence.prompt_tokens;
        bounds.rows = std::max(bounds.rows, rows);
        bounds.sequences = std::max(bounds.sequences, static_cast<std::int64_t>(batch.size()));
      }
    }
  }
  return bounds;
}

StagePlan plan_stage(const StageRequest& request) {
  const auto& [config, slice, checkpoint_format, rounds, policy, ranks, backend, device_link] = request;
  const bool gpu = backend == Backend::cuda;
  const DType weights = gpu ? DType::f16 : checkpoint_format;
  StagePlan plan;
  plan.backend = backend;
  plan.bounds = bounds_of(rounds, policy, ranks);
  plan.needs = gpu ? cuda::needs(config, slice, plan.bounds, !device_link)
                   : cpu::needs(config, slice, weights, plan.bounds);
  plan.weights = plan_weights(config, slice, weights, policy.weights, plan.needs.tables_whole);
  plan.kv = plan_kv(config, slice, rounds, policy, plan.needs.kv);
  const bool alone = slice.embedding && slice.head;
  const bool one_micro_batch = alone && (rounds.empty() || rounds.front().micro_batches.size() == 1);
  plan.hidden = plan_hidden(plan.bounds.rows, config.hidden, policy, one_micro_batch, plan.needs.hidden);
  plan.use = account(plan);
  // Whole pages each.
  plan.disk_bytes = plan.use.weights[2] + plan.use.kv[2] + plan.use.hidden[2];
  return plan;
}

schedule::StageParameters schedule_parameters(const StagePlan& plan, const model::StageSlice& slice,
                                              const memory::Round& round, const memory::KvLayout& kv,
                                              Rank rank, int ranks) {
  schedule::StageParameters p;
  p.rank = rank;
  p.ranks = ranks;
  p.slice = slice;
  p.token_steps = round.token_steps();
  p.micro_batches = static_cast<std::int64_t>(round.micro_batches.size());
  p.gpu_batches = static_cast<std::int64_t>(round.micro_batches.front().size());
  p.layer_weights = {plan.weights.layers_move, plan.weights.layers_on_disk};
  p.head_weights = {plan.weights.head_moves, plan.weights.head_on_disk};
  p.kv = {plan.kv.slots > 0, plan.kv.stages > 0};
  p.hidden = {!plan.hidden.shares.all_on_device(), plan.hidden.shares.any_on_disk()};
  p.weight_slots = kWeightSlots;
  p.kv_slots = kKvSlots;
  p.hidden_slots = kHiddenSlots;
  p.sizes.weight_slot = aligned(plan.weights.slot_bytes);
  p.sizes.weight_stage = aligned(plan.weights.stage_bytes);
  p.sizes.hidden_work = aligned(plan.hidden.bytes_of(plan.hidden.elements));
  p.sizes.hidden_home = plan.hidden.home_bytes();
  p.sizes.hidden_stage = plan.hidden.home_bytes()[2];
  p.sizes.attention = plan.needs.attention_bytes;
  p.sizes.kv_slot = aligned(plan.kv.slot_bytes);
  p.sizes.kv_stage = aligned(plan.kv.stage_bytes);
  p.sizes.kv_block = [&kv](MicroBatchId m, GpuBatchId k, std::int64_t layer) {
    return kv.block(m, k, layer).bytes;
  };
  return p;
}

}  // namespace optpipe::planner
