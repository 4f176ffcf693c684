#include "optpipe/planner/weights.hpp"

#include <algorithm>

#include "optpipe/memory/arena.hpp"

namespace optpipe::planner {

using memory::aligned;
using memory::GroupLayout;
using memory::Tier;
using model::Role;

Bytes WeightPlan::all_slots() const { return static_cast<Bytes>(slots) * aligned(slot_bytes); }
Bytes WeightPlan::all_stages() const { return static_cast<Bytes>(stages) * aligned(stage_bytes); }

namespace {

// Looped stages: the layers of a chunk, while all micro-batches pass, and those of the next one; the head
// stays for as long as the last chunk.
int slots_of(const model::StageSlice& slice, bool head_moves) {
  if (slice.run_count() == 1) return kWeightSlots;
  const std::int64_t layers = std::min(2 * slice.run_layers, slice.layers);
  return static_cast<int>(layers) + (head_moves ? 1 : 0);
}

}  // namespace

WeightPlan plan_weights(const model::ModelConfig& config, const model::StageSlice& slice, DType dtype,
                        const memory::TierShares& shares, bool tables_whole, StorageFormat matrices) {
  WeightPlan plan;
  const bool move_tables = tables_whole && !shares.all_on_device();
  const memory::TierShares table_shares = move_tables ? memory::TierShares{0, 100} : shares;
  plan.dtype = dtype;
  const auto add = [&](const GroupLayout& layout) {
    for (const Tier tier : memory::kTiers) plan.bytes[static_cast<std::size_t>(tier)] += layout.on(tier);
  };
  if (slice.embedding) {
    std::vector<model::TensorSpec> tables, projection;
    for (const auto& spec : model::embedding_tensors(config)) {
      const bool shared_with_head =
          spec.role == Role::token_embedding && slice.head && config.tied_head && !move_tables;
      if (spec.role == Role::project_in)
        projection.push_back(spec);
      else if (!shared_with_head)
        tables.push_back(spec);
    }
    plan.tables = memory::lay_out_group(tables, dtype, table_shares);
    plan.projection = memory::lay_out_group(projection, dtype, {});
    add(plan.tables);
    add(plan.projection);
  }
  for (std::int64_t i = 0; i < slice.layers; ++i) {
    const auto& layout = plan.groups.emplace_back(
        memory::lay_out_group(model::layer_tensors(config, slice.layer_at(i)), dtype, shares, matrices));
    plan.layers_move = plan.layers_move || layout.slot_bytes() > 0;
    plan.layers_on_disk = plan.layers_on_disk || layout.on(Tier::disk) > 0;
  }
  if (slice.head) {
    const auto& layout =
        plan.groups.emplace_back(memory::lay_out_group(model::head_tensors(config), dtype, shares));
    plan.head_moves = layout.slot_bytes() > 0;
    plan.head_on_disk = layout.on(Tier::disk) > 0;
  }
  for (const auto& layout : plan.groups) {
    add(layout);
    plan.slot_bytes = std::max(plan.slot_bytes, layout.slot_bytes());
    plan.stage_bytes = std::max(plan.stage_bytes, layout.on(Tier::disk));
  }
  if (plan.slot_bytes > 0) plan.slots = slots_of(slice, plan.head_moves);
  plan.stages = plan.stage_bytes > 0 ? kStages : 0;
  return plan;
}

}  // namespace optpipe::planner
