// In how many pieces a micro-batch passes through the pipeline in prefill.
#pragma once

#include <cstdint>
#include <vector>

#include "optpipe/base/dtype.hpp"
#include "optpipe/memory/policy.hpp"
#include "optpipe/memory/round.hpp"
#include "optpipe/planner/backend.hpp"

namespace optpipe::planner {

// Prompts of one micro-batch, the largest, and how many of these there are.
struct PrefillLoad {
  std::int64_t rows = 0, sequences = 0;
  std::int64_t micro_batches = 1;
};
PrefillLoad prefill_load(const memory::Round& round);

// Pure, and the same on all ranks, whatever their slices are. With M micro-batches, P stages and Q pieces of
// equal size, where S(Q) is a stage's time for a micro-batch, prefill takes
//   T(Q) = S(Q) · (M + (P - 1) / Q),   S(Q) = max(rows + Q · overhead, Q · load)
// in units of the time in which a stage computes one row: smaller products are a little slower, and weights
// that are not on the device are loaded once a piece. Q is the smallest with the least T, of those that cut
// GPU batches evenly; 1 for looped stages, whose fill is short as it is.
std::int64_t best_prefill_pieces(const memory::Policy& policy, const PrefillLoad& load, int ranks,
                                 DType weights, Backend backend);

// The policy with the number of pieces chosen for its first round, unless it says one. `weights`: the model's
// format.
memory::Policy settle_prefill(memory::Policy policy, const std::vector<memory::Round>& rounds, int ranks,
                              DType weights, Backend backend);

}  // namespace optpipe::planner
