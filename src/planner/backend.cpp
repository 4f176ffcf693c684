#include "optpipe/planner/backend.hpp"

#include <algorithm>

#include "optpipe/memory/arena.hpp"

namespace optpipe::planner {

const char* name_of(Backend backend) { return backend == Backend::cuda ? "cuda" : "cpu"; }

Bytes decode_slot_bytes(const model::ModelConfig& config, const BatchBounds& bounds, Bytes element) {
  return memory::aligned(static_cast<Bytes>(4 * bounds.sequences * config.hidden) * element);
}

XWorkspace x_workspace(const model::ModelConfig& config, const BatchBounds& bounds, Backend backend) {
  const bool gpu = backend == Backend::cuda;
  XWorkspace work;
  work.prompt_rows = std::max(std::min(bounds.rows, gpu ? cuda::kChunkRows : cpu::kChunkRows), bounds.prompt);
  work.absorbed = bounds.sequences * config.heads * config.hidden;
  work.score_stride = static_cast<std::int64_t>(
      round_up(static_cast<Bytes>(bounds.positions), static_cast<Bytes>(XWorkspace::kScoreGroup)));
  work.scored_heads = config.heads * (gpu ? bounds.sequences : 1);
  return work;
}

}  // namespace optpipe::planner
