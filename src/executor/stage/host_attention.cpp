#include "executor/stage/host_attention.hpp"

#include "optpipe/kernels/cpu.hpp"
#include "optpipe/kernels/decode_attention.hpp"

namespace optpipe::executor {

HostAttention::HostAttention(const planner::StagePlan& plan, std::int64_t hidden,
                             memory::MemoryResource& memory)
    : dtype_(plan.needs.hidden),
      row_bytes_(static_cast<Bytes>(hidden) * size_of(dtype_)),
      output_offset_(static_cast<Bytes>(3 * plan.bounds.sequences) * row_bytes_),
      arena_("rows of attention on the host", plan.needs.host_rows_bytes, memory) {
  for (std::int64_t i = 0; i < plan.needs.host_slots; ++i)
    slots_.push_back(arena_.take(output_offset_ + static_cast<Bytes>(plan.bounds.sequences) * row_bytes_));
}

void HostAttention::attend(std::int32_t slot, const std::vector<KvStore::Segment>& segments,
                           const RowFormat& cache, double sparsity, int threads) const {
  std::vector<kernels::DecodeTask> tasks;
  for (const auto& segment : segments) {
    const auto row = static_cast<Bytes>(segment.rows.first_row);
    const Bytes column = static_cast<Bytes>(segment.first_head * cache.run) * size_of(dtype_);
    const std::byte* q = qkv(slot) + 3 * row * row_bytes_ + column;
    const auto context = segment.rows.position + segment.rows.count;
    tasks.push_back({q, q + row_bytes_, q + 2 * row_bytes_, output(slot) + row * row_bytes_ + column,
                     segment.keys, segment.values, context, segment.heads,
                     kernels::kept_positions(sparsity, context)});
  }
  kernels::decode_attention(tasks, dtype_, cache, threads);
}

}  // namespace optpipe::executor
