#include "executor/stage/stage_plan.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace optpipe::executor {
namespace {

constexpr int kWeightSlots = 2, kKvSlots = 3, kHiddenSlots = 3, kStages = 2;

using memory::aligned;

void widen(std::array<Bytes, 3>& most, const std::array<Bytes, 3>& bytes) {
  for (std::size_t tier = 0; tier < 3; ++tier) most[tier] = std::max(most[tier], bytes[tier]);
}

KvPlan plan_kv(const model::ModelConfig& config, const model::StageSlice& slice,
               const std::vector<memory::Round>& rounds, const memory::Policy& policy, DType dtype) {
  KvPlan plan;
  for (const auto& round : rounds) {
    const auto layout = lay_out_kv(config, slice, round, policy, dtype);
    widen(plan.bytes, layout.bytes);
    plan.slot_bytes = std::max(plan.slot_bytes, layout.slot_bytes);
    plan.stage_bytes = std::max(plan.stage_bytes, layout.stage_bytes);
  }
  plan.slots = plan.slot_bytes > 0 ? kKvSlots : 0;
  plan.stages = plan.write_stages = plan.stage_bytes > 0 ? kStages : 0;
  return plan;
}

HiddenPlan plan_hidden(const model::ModelConfig& config, std::int64_t rows, const memory::Policy& policy,
                       std::size_t micro_batches, DType dtype) {
  HiddenPlan plan;
  plan.shares = policy.hidden;
  plan.element = size_of(dtype);
  plan.elements = rows * config.hidden;
  plan.gpu_batches = policy.gpu_batches;
  const int sets = micro_batches > 1 ? 2 : 1;
  plan.work_buffers =
      policy.hidden.all_on_device() ? sets * static_cast<int>(policy.gpu_batches) : kHiddenSlots;
  plan.stages = policy.hidden.any_on_disk() ? kStages : 0;
  return plan;
}

}  // namespace

std::int64_t largest_batch(const std::vector<memory::Round>& rounds) {
  std::int64_t most = 1;
  for (const auto& round : rounds) {
    for (const auto& micro_batch : round.micro_batches) {
      for (const auto& batch : micro_batch) {
        std::int64_t rows = 0;
        for (const auto& sequence : batch) rows += sequence.prompt_tokens;
        most = std::max(most, rows);
      }
    }
  }
  return most;
}

DType weight_dtype(const model::ModelConfig& config, const model::StageSlice& slice,
                   const model::Checkpoint& checkpoint) {
  const auto layer = model::layer_tensors(config, slice.first);
  const auto fc1 = std::find_if(layer.begin(), layer.end(),
                                [](const auto& spec) { return spec.role == model::Role::fc1_weight; });
  const auto info = checkpoint.find(fc1->name);
  if (!info)
    throw InputError(
        fmt::format("{} has no tensor {}: it is incomplete, or config.json describes another model",
                    checkpoint.describe(), fc1->name));
  return info->dtype;
}

DType kv_dtype_for(DType weights) { return weights == DType::f16 ? DType::f16 : DType::f32; }

memory::KvLayout lay_out_kv(const model::ModelConfig& config, const model::StageSlice& slice,
                            const memory::Round& round, const memory::Policy& policy, DType dtype) {
  return memory::lay_out_kv(round, slice.layers, config.heads, config.head_dim(), dtype, policy.kv);
}

StagePlan plan_stage(const model::ModelConfig& config, const model::StageSlice& slice, DType weights,
                     const std::vector<memory::Round>& rounds, const memory::Policy& policy,
                     const BackendNeeds& needs) {
  StagePlan plan;
  plan.needs = needs;
  plan.rows = largest_batch(rounds);
  plan.weights = plan_weights(config, slice, weights, policy.weights, kWeightSlots, needs.tables_whole);
  plan.kv = plan_kv(config, slice, rounds, policy, needs.kv);
  const std::size_t micro_batches = rounds.empty() ? 1 : rounds.front().micro_batches.size();
  const bool alone = slice.embedding && slice.head;
  plan.hidden = plan_hidden(config, plan.rows, policy, alone ? micro_batches : 2, needs.hidden);

  const auto home = plan.hidden.home_bytes();
  const auto batches = static_cast<Bytes>(policy.gpu_batches);
  const auto slots = [](int count, Bytes bytes) { return static_cast<Bytes>(count) * aligned(bytes); };
  MemoryUse& use = plan.use;
  use.weights = plan.weights.bytes;
  use.weights[0] += slots(plan.weights.slots, plan.weights.slot_bytes);
  use.weights[1] += slots(plan.weights.stages, plan.weights.stage_bytes);
  use.kv = plan.kv.bytes;
  use.kv[0] += slots(plan.kv.slots, plan.kv.slot_bytes);
  use.kv[1] += slots(plan.kv.stages + plan.kv.write_stages, plan.kv.stage_bytes);
  use.hidden = {
      batches * home[0] + slots(plan.hidden.work_buffers, plan.hidden.bytes_of(plan.hidden.elements)),
      batches * home[1] + slots(2 * plan.hidden.stages, home[2]), batches * home[2]};
  use.workspace = {needs.attention_bytes + needs.scratch_bytes, 0, 0};
  plan.disk_bytes = use.weights[2] + use.kv[2] + use.hidden[2];  // whole pages each
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

}  // namespace optpipe::executor
