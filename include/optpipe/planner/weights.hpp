// Where the weights of a slice go, and what their way to the device takes.
#pragma once

#include <array>
#include <vector>

#include "optpipe/memory/weight_layout.hpp"
#include "optpipe/model/slice.hpp"

namespace optpipe::planner {

inline constexpr int kWeightSlots = 2;  // layers whose streamed weights are on contiguous stages at once
inline constexpr int kStages = 2;       // staging buffers of each kind between disk and host
// With attention on the host one more: a layer's last batches are still in it when the next layer's begin.
inline constexpr int kSlotsForHost = 1;

struct WeightPlan {
  DType dtype{};
  memory::GroupLayout tables;      // token and position embedding: gathered in place, on whatever tier
  memory::GroupLayout projection;  // project_in, always on the device
  std::vector<memory::GroupLayout> groups;  // layers of the slice, then the head where the slice has it
  std::array<Bytes, 3> bytes{};             // of all groups on each tier
  Bytes slot_bytes = 0;                     // the largest group's offloaded part
  Bytes stage_bytes = 0;                    // the largest group's part on disk
  int slots = 0, stages = 0;

  bool layers_move = false, head_moves = false, layers_on_disk = false, head_on_disk = false;

  Bytes all_slots() const;   // on the device
  Bytes all_stages() const;  // on the host
};

// Layers' matrices are kept in the format `matrices`; embedding tables, project_in and the head as they are.
// With `tables_whole`, embedding tables that are not wholly on the device lie on the host and are not shared
// with the head.
WeightPlan plan_weights(const model::ModelConfig& config, const model::StageSlice& slice, DType dtype,
                        const memory::TierShares& shares, bool tables_whole = false,
                        StorageFormat matrices = StorageFormat::native);

}  // namespace optpipe::planner
