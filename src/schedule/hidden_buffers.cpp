// How many buffers for hidden states a stage has.

#include <algorithm>

#include "schedule/block_program.hpp"

namespace optpipe::schedule {

// Two sets, so that one micro-batch arrives while another is computed; one where there is only one
// micro-batch. Of looped stages the first also has those in which micro-batches wait that come back before
// their turn.
std::int64_t hidden_sets(const StageParameters& p) {
  if (p.ranks == 1 && p.micro_batches == 1) return 1;
  if (p.slice.run_count() == 1 || !p.slice.embedding) return 2;
  return std::max<std::int64_t>(2, p.micro_batches - p.ranks + 2);
}

namespace {

// The same for the pieces of prefill: so many micro-batches, only smaller ones.
std::int64_t buffers_of_pieces(const StageParameters& p) {
  StageParameters pieces = p;
  pieces.micro_batches *= p.prefill.pieces;
  const auto batches = p.prefill.parts > 1 ? 1 : (p.gpu_batches + p.prefill.pieces - 1) / p.prefill.pieces;
  return hidden_sets(pieces) * batches;
}

}  // namespace

// Looped stages: one more than the micro-batch that waits until the next rank takes it, and another to
// compute with, or all ranks would wait for each other to take theirs.
std::int64_t hidden_work_buffers(const StageParameters& p) {
  if (!p.hidden.any) {
    const auto whole = hidden_sets(p) * p.gpu_batches;
    return p.prefill.pieces > 1 && p.slice.run_count() > 1 ? std::max(whole, buffers_of_pieces(p)) : whole;
  }
  const bool looped = p.slice.stride > 0;  // the pipeline: this stage may have one run
  return looped ? std::max<std::int64_t>(p.hidden_slots, 2 * p.gpu_batches + 1) : p.hidden_slots;
}

// None where hidden states go through one layer and leave.
std::int64_t hidden_homes(const StageParameters& p) {
  if (parks(p)) return p.gpu_batches * p.micro_batches;
  const bool passes = p.slice.runs().front().layers == 1 && !p.slice.head;
  return passes ? 0 : p.gpu_batches;
}

}  // namespace optpipe::schedule
