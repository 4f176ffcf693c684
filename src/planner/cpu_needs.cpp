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
                   const BatchBounds& bounds, bool x_cache) {
  const auto chunk = std::min(bounds.rows, kChunkRows);
  BackendNeeds needs{.hidden = DType::f32, .kv = kv_dtype_for(weights)};
  needs.attention_bytes = 2 * floats(bounds.rows, config.hidden);
  // Normed rows, and keys and values on their way to the cache.
  needs.scratch_bytes = (x_cache ? 1 : 3) * floats(chunk, config.hidden) + floats(chunk, config.ffn);
  if (slice.embedding || slice.head) needs.scratch_bytes += floats(chunk, config.embedding);
  if (slice.head) needs.scratch_bytes += floats(kHeadChunkRows, config.vocabulary);
  if (x_cache) {
    const XWorkspace work = x_workspace(config, bounds, Backend::cpu);
    needs.x_bytes =
        3 * floats(work.prompt_rows, config.hidden) + floats(1, work.absorbed) + floats(1, work.scores());
  }
  return needs;
}

}  // namespace optpipe::planner::cpu
