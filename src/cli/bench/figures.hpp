// Rank 0's figures of a benchmark, from what its rounds measured.
#pragma once

#include "cli/bench/outcome.hpp"
#include "cli/bench/rounds.hpp"

namespace optpipe::cli {

// What is known before anything is run: sizes of the model, of its cache, and of messages.
Outcome begin_outcome(const BenchOptions& options, const Job& job, const Workload& workload);

// The measured round's latencies, with the projection of what was cut off.
void count(Outcome& outcome, const Workload& workload, const RoundFigures& round, std::size_t stages);

// How far projections are from `whole`, a round at full length: the benchmark's own, where it was cut, and
// those from the first token steps of `whole`.
Validation validate_projection(const Outcome& outcome, const Workload& workload, const RoundFigures& whole,
                               std::size_t stages);

// Of the fullest GPU and host.
metrics::PeakMemory peak_memory(const Outcome& outcome);

}  // namespace optpipe::cli
