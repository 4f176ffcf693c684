// Which prompts are in flight together: rounds of micro-batches of GPU batches of sequences.
#pragma once

#include <cstdint>
#include <vector>

#include "optpipe/memory/policy.hpp"

namespace optpipe::memory {

struct Sequence {
  std::int64_t index = 0;          // of the prompt, in input order
  std::int64_t prompt_tokens = 0;  // at least 1
  std::int64_t new_tokens = 0;     // at most so many are generated; at least 1

  // The last new token is never fed back, so its keys and values are never stored.
  std::int64_t kv_positions() const { return prompt_tokens + new_tokens - 1; }
};

// The sequences that begin in its places; may be empty where prompts do not fill the last round.
using GpuBatch = std::vector<Sequence>;
using MicroBatch = std::vector<GpuBatch>;

// Places [begin, end) of a GPU batch.
struct Places {
  std::size_t begin = 0, end = 0;
};
// Part `part` of `parts` of a batch of prompts: whole sequences one behind the other, of about as many tokens
// as the other parts have; may be empty.
Places places_of_part(const GpuBatch& batch, int part, int parts);

struct Round {
  std::vector<MicroBatch> micro_batches;
  std::vector<Sequence> waiting;  // take the places of those that end, in this order

  std::int64_t sequences() const;  // with those that wait
  // Of one program: the largest new_tokens; with waiting ones so many as are worth a program, which is then
  // followed by others until all are over.
  std::int64_t token_steps() const;
  // Positions of keys and values that every place has room for, so that any sequence may follow in it; 0
  // where nobody waits, and a place needs room for its own.
  std::int64_t shared_positions() const;
  // The most rows that are computed at once: of a GPU batch in a token step, in prefill of one of its
  // `parts`.
  std::int64_t most_rows(int parts = 1) const;
};

// Cuts `sequences`, in their order, into rounds of at most the policy's prompts in flight; with the policy's
// `refill` into one round, in which the rest waits, and prompts with the most new tokens come first: those
// that end last must not begin last, or places run empty for long. A round's prompts are spread evenly over
// its micro-batches and GPU batches, so that a part-filled round keeps every stage busy. Every round has the
// same number of micro-batches and GPU batches.
std::vector<Round> make_rounds(const std::vector<Sequence>& sequences, const Policy& policy, int stages);

}  // namespace optpipe::memory
