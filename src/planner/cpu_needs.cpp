#include <algorithm>

#include "optpipe/memory/arena.hpp"
#include "optpipe/planner/backend.hpp"
#include "optpipe/planner/kv.hpp"

namespace optpipe::planner::cpu {
namespace {

Bytes floats(std::int64_t rows, std::int64_t columns) {
  return memory::aligned(static_cast<Bytes>(rows * columns) * sizeof(float));
}

}  // namespace

BackendNeeds needs(const model::ModelConfig& config, const model::StageSlice& slice, DType weights,
                   const BatchBounds& bounds) {
  const auto chunk = std::min(bounds.rows, kChunkRows);
  BackendNeeds needs{.hidden = DType::f32, .kv = kv_dtype_for(weights)};
  needs.attention_bytes = 2 * floats(bounds.rows, config.hidden);
  needs.scratch_bytes = 3 * floats(chunk, config.hidden) + floats(chunk, config.ffn);
  if (slice.embedding || slice.head) needs.scratch_bytes += floats(chunk, config.embedding);
  if (slice.head) needs.scratch_bytes += floats(kHeadChunkRows, config.vocabulary);
  return needs;
}

}  // namespace optpipe::planner::cpu
