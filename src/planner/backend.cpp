#include "optpipe/planner/backend.hpp"

#include "optpipe/memory/arena.hpp"

namespace optpipe::planner {

const char* name_of(Backend backend) { return backend == Backend::cuda ? "cuda" : "cpu"; }

Bytes decode_slot_bytes(const model::ModelConfig& config, const BatchBounds& bounds, Bytes element) {
  return memory::aligned(static_cast<Bytes>(4 * bounds.sequences * config.hidden) * element);
}

}  // namespace optpipe::planner
