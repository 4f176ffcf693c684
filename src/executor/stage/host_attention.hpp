// Attention of decode steps on CPU cores: rows that come from the device and go back to it, and the work in
// between.
#pragma once

#include <vector>

#include "executor/stage/kv_store.hpp"
#include "optpipe/memory/arena.hpp"
#include "optpipe/planner/stage_plan.hpp"

namespace optpipe::executor {

class HostAttention {
 public:
  HostAttention(const planner::StagePlan& plan, std::int64_t hidden, memory::MemoryResource& memory);

  // Of one slot, in the format of hidden states: q, k and v of each row side by side [rows, 3h]; attention
  // output [rows, h].
  std::byte* qkv(std::int32_t slot) const { return slots_[static_cast<std::size_t>(slot)].data(); }
  std::byte* output(std::int32_t slot) const { return qkv(slot) + output_offset_; }
  Bytes qkv_bytes(const BatchRows& rows) const { return static_cast<Bytes>(3 * rows.rows) * row_bytes_; }

  // Appends the rows' keys and values to `segments` and attends to these, for a decode step.
  void attend(std::int32_t slot, const std::vector<KvStore::Segment>& segments, const RowFormat& cache,
              double sparsity, int threads) const;

 private:
  DType dtype_;
  Bytes row_bytes_, output_offset_;
  memory::Arena arena_;
  std::vector<std::span<std::byte>> slots_;
};

}  // namespace optpipe::executor
