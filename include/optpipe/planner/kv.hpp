// What keys and values of the largest of all rounds take.
#pragma once

#include <array>
#include <vector>

#include "optpipe/memory/kv_layout.hpp"
#include "optpipe/model/slice.hpp"

namespace optpipe::planner {

inline constexpr int kKvSlots = 3;           // GPU batches whose offloaded KV is on the device at once
inline constexpr int kKvSlotsOfPrompts = 2;  // where no offloaded KV comes back to the device

struct KvPlan {
  std::array<Bytes, 3> bytes{};
  Bytes slot_bytes = 0, stage_bytes = 0;
  int slots = 0, stages = 0, write_stages = 0;
  StorageFormat format = StorageFormat::native;
  bool on_cpu = false;   // CPU cores attend to some of it
  bool streams = false;  // some of it comes to the device for every token

  Bytes all_slots() const;   // on the device
  Bytes all_stages() const;  // on the host
};

// Keys and values are kept in fp16 for an fp16 model, and in fp32 for others: bf16 has too few bits for them
// and fp16 too small a range.
DType kv_dtype_for(DType weights);

memory::KvLayout lay_out_kv(const model::ModelConfig& config, const model::StageSlice& slice,
                            const memory::Round& round, const memory::Policy& policy, DType dtype);

KvPlan plan_kv(const model::ModelConfig& config, const model::StageSlice& slice,
               const std::vector<memory::Round>& rounds, const memory::Policy& policy, DType dtype);

}  // namespace optpipe::planner
