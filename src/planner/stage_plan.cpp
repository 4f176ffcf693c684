#include "optpipe/planner/stage_plan.hpp"

#include <algorithm>

#include "optpipe/memory/arena.hpp"

namespace optpipe::planner {
using memory::aligned;

namespace {

schedule::Offload offload_of(const memory::TierShares& shares) {
  return {!shares.all_on_device(), shares.any_on_disk()};
}

}  // namespace

BatchBounds bounds_of(const std::vector<memory::Round>& rounds, const memory::Policy& policy, int ranks) {
  BatchBounds bounds{.micro_batches = policy.micro_batches_for(ranks),
                     .gpu_batches = policy.gpu_batches,
                     .parts = policy.prefill_cut().parts};
  for (const auto& round : rounds) {
    bounds.rows = std::max(bounds.rows, round.most_rows(bounds.parts));
    const auto see = [&](const memory::Sequence& sequence) {
      bounds.prompt = std::max(bounds.prompt, sequence.prompt_tokens);
      bounds.positions = std::max(bounds.positions, sequence.kv_positions());
    };
    std::ranges::for_each(round.waiting, see);
    for (const auto& micro_batch : round.micro_batches)
      for (const auto& batch : micro_batch) {
        bounds.sequences = std::max(bounds.sequences, static_cast<std::int64_t>(batch.size()));
        std::ranges::for_each(batch, see);
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
  plan.device_link = gpu && device_link;
  plan.neighbours = (slice.receives_hidden() ? 1 : 0) + (slice.sends_hidden() ? 1 : 0);
  plan.prefill = policy.prefill_cut();
  plan.bounds = bounds_of(rounds, policy, ranks);
  plan.needs = gpu ? cuda::needs(config, slice, plan.bounds, !device_link, policy)
                   : cpu::needs(config, slice, weights, plan.bounds, policy.x_cache);
  plan.weights =
      plan_weights(config, slice, weights, policy.weights, plan.needs.tables_whole, policy.weight_format);
  plan.kv = plan_kv(config, slice, rounds, policy, plan.needs.kv);
  if (plan.kv.on_cpu) {
    plan.needs.host_slots = std::min(kHostSlots, plan.bounds.gpu_batches);
    plan.needs.decode_bytes = plan.needs.host_rows_bytes =
        static_cast<Bytes>(plan.needs.host_slots) *
        decode_slot_bytes(config, plan.bounds, size_of(plan.needs.hidden));
    const auto moving = static_cast<int>(
        std::ranges::count_if(plan.weights.groups, [](const auto& g) { return g.slot_bytes() > 0; }));
    if (plan.weights.slots < moving) plan.weights.slots += kSlotsForHost;
  }
  schedule::StageParameters passage;
  passage.ranks = ranks;
  passage.slice = slice;
  passage.micro_batches = plan.bounds.micro_batches;
  passage.gpu_batches = plan.bounds.gpu_batches;
  passage.prefill = plan.prefill;
  passage.hidden = offload_of(policy.hidden);
  passage.hidden_slots = kHiddenSlots;
  plan.hidden = plan_hidden(plan.bounds.rows, config.hidden, policy, passage, plan.needs.hidden);
  // Whole pages each.
  plan.disk_bytes = plan.weights.bytes[2] + plan.kv.bytes[2] + plan.hidden.all_homes()[2];
  return plan;
}

std::int64_t most_steps(const StagePlan& plan, const model::StageSlice& slice, const memory::Round& round) {
  const auto when = [](bool yes, std::int64_t steps) { return yes ? steps : std::int64_t{0}; };
  const bool hidden_moves = !plan.hidden.shares.all_on_device();
  const std::int64_t of_hidden = when(hidden_moves, 2) + when(plan.hidden.stages > 0, 2);
  const std::int64_t of_layer = 3 + of_hidden + when(plan.weights.layers_move, 1);
  // Prefill finds nothing stored, and the last step stores nothing.
  const std::int64_t of_layer_in_decode = when(plan.kv.slots > 0, plan.kv.streams ? 2 : 1) +
                                          when(plan.kv.stages > 0, 2) + when(plan.kv.on_cpu, 3);
  const std::int64_t of_head = 2 + of_hidden + when(plan.weights.head_moves, 1);
  // A message in and one out for each run; on the first stage also new tokens, accept, and the homes of those
  // that wait for their next run.
  const std::int64_t in_and_out =
      slice.run_count() * (2 + when(plan.hidden.homes > plan.bounds.gpu_batches, of_hidden)) +
      when(slice.embedding, 2);
  const std::int64_t of_batch = slice.layers * of_layer + when(slice.head, of_head) + in_and_out;
  const auto visits = slice.layers + when(slice.head, 1);
  // Looped stages keep what they have loaded for all micro-batches.
  const bool reloads = slice.run_count() == 1 && (plan.weights.layers_move || plan.weights.head_moves);
  const auto batches = static_cast<std::int64_t>(round.micro_batches.front().size());
  const std::int64_t of_micro_batch = batches * of_batch + when(plan.weights.stages > 0, visits);
  const std::int64_t of_micro_batch_in_decode = batches * slice.layers * of_layer_in_decode;
  // Prefill in pieces: weights may be loaded for each of them, and each part of a batch has steps of its own.
  const std::int64_t more_in_prefill =
      (plan.prefill.pieces - 1) * visits * (when(reloads, batches) + when(plan.weights.stages > 0, 1)) +
      (plan.prefill.parts - 1) * batches * (of_batch + slice.layers * of_layer_in_decode);
  return static_cast<std::int64_t>(round.micro_batches.size()) *
         (round.token_steps() * of_micro_batch + (round.token_steps() - 1) * of_micro_batch_in_decode +
          more_in_prefill);
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
  p.prefill = plan.prefill;
  p.layer_weights = {plan.weights.layers_move, plan.weights.layers_on_disk};
  p.head_weights = {plan.weights.head_moves, plan.weights.head_on_disk};
  p.kv = {plan.kv.slots > 0, plan.kv.stages > 0};
  const auto host_slots = std::max<std::int64_t>(1, plan.needs.host_slots);
  p.host_attention = {plan.kv.on_cpu, plan.kv.streams, static_cast<int>(host_slots)};
  p.attend_uses_weights = plan.needs.x_bytes > 0;
  p.hidden = offload_of(plan.hidden.shares);
  p.weight_slots = plan.weights.slots;
  p.kv_slots = std::max(1, plan.kv.slots);
  p.hidden_slots = kHiddenSlots;
  p.sizes.weight_slot = aligned(plan.weights.slot_bytes);
  p.sizes.weight_stage = aligned(plan.weights.stage_bytes);
  p.sizes.hidden_work = aligned(plan.hidden.bytes_of(plan.hidden.elements));
  p.sizes.hidden_home = plan.hidden.home_bytes();
  p.sizes.hidden_stage = plan.hidden.home_bytes()[2];
  p.sizes.attention = plan.needs.attention_bytes;
  p.sizes.attention_decode = plan.needs.decode_bytes / static_cast<Bytes>(host_slots);
  p.sizes.host_rows = plan.needs.host_rows_bytes / static_cast<Bytes>(host_slots);
  p.sizes.kv_slot = aligned(plan.kv.slot_bytes);
  p.sizes.kv_stage = aligned(plan.kv.stage_bytes);
  p.sizes.kv_block = [&kv](MicroBatchId m, GpuBatchId k, std::int64_t layer) {
    return kv.block(m, k, layer).bytes;
  };
  p.sizes.kv_cpu = [&kv](MicroBatchId m, GpuBatchId k, std::int64_t layer) {
    return kv.block(m, k, layer).cpu_bytes;
  };
  return p;
}

}  // namespace optpipe::planner
