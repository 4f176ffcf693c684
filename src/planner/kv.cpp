#include "optpipe/planner/kv.hpp"

#include <algorithm>

#include "optpipe/memory/arena.hpp"
#include "optpipe/planner/weights.hpp"

namespace optpipe::planner {

using memory::aligned;

Bytes KvPlan::all_slots() const { return static_cast<Bytes>(slots) * aligned(slot_bytes); }
Bytes KvPlan::all_stages() const { return static_cast<Bytes>(stages + write_stages) * aligned(stage_bytes); }

DType kv_dtype_for(DType weights) { return weights == DType::f16 ? DType::f16 : DType::f32; }

memory::KvLayout lay_out_kv(const model::ModelConfig& config, const model::StageSlice& slice,
                            const memory::Round& round, const memory::Policy& policy, DType dtype) {
  if (policy.x_cache)
    return memory::lay_out_kv(round, slice.layers, 1, {StorageFormat::native, dtype, config.hidden},
                              policy.kv, 0, 1);
  return memory::lay_out_kv(round, slice.layers, config.heads, {policy.kv_format, dtype, config.head_dim()},
                            policy.kv, policy.cpu_attention());
}

KvPlan plan_kv(const model::ModelConfig& config, const model::StageSlice& slice,
               const std::vector<memory::Round>& rounds, const memory::Policy& policy, DType dtype) {
  KvPlan plan{.format = policy.kv_format};
  std::size_t blocks = 0;
  for (const auto& round : rounds) {
    const auto layout = lay_out_kv(config, slice, round, policy, dtype);
    for (std::size_t tier = 0; tier < plan.bytes.size(); ++tier)
      plan.bytes[tier] = std::max(plan.bytes[tier], layout.bytes[tier]);
    plan.slot_bytes = std::max(plan.slot_bytes, layout.slot_bytes);
    plan.stage_bytes = std::max(plan.stage_bytes, layout.stage_bytes);
    blocks = std::max(blocks, layout.blocks.size());
    plan.on_cpu = plan.on_cpu || layout.cpu_bytes > 0;
    plan.streams = plan.streams || layout.bytes[1] + layout.bytes[2] > layout.cpu_bytes;
  }
  plan.slots = plan.slot_bytes == 0 ? 0
               : plan.streams       ? kKvSlots
                                    : std::min(kKvSlotsOfPrompts, static_cast<int>(blocks));
  plan.stages = plan.write_stages = plan.stage_bytes > 0 ? kStages : 0;
  return plan;
}

}  // namespace optpipe::planner
