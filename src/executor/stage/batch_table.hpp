// Which sequences stand in the places of each GPU batch, and the rows that they have in a token step.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <vector>

#include "optpipe/memory/round.hpp"
#include "optpipe/schedule/program.hpp"

namespace optpipe::executor {

// The rows of one sequence in a batch of rows [rows, h]: positions [position, position + count) of the
// sequence.
struct RowSpan {
  std::int32_t sequence = 0;  // its place in the GPU batch
  std::int64_t first_row = 0;
  std::int64_t position = 0;
  std::int64_t count = 0;
  bool prompt = false;     // rows of the prompt, not a new token's
  std::int64_t index = 0;  // of the prompt, in input order
  std::int64_t age = 0;    // how many new tokens it has before the one that comes of these rows
};

// Rows of one GPU batch, or of the step's part of it, in one token step: the whole prompt of a sequence that
// is new, one row of one that goes on. Sequences are packed without padding, those of prompts first. Spans
// stand in the order of places.
struct BatchRows {
  std::vector<RowSpan> spans;
  std::int64_t rows = 0;
  std::int64_t prompt_rows = 0;  // the first so many belong to prompts
  std::size_t first_span = 0;  // of a part of the GPU batch: so many sequences have rows in the parts before
};

// A number of the sequence that stands in a place: position in the round's list, first those that begin in
// places, then those that wait. None: the place is empty.
using Occupant = std::int32_t;
inline constexpr Occupant kNobody = -1;

class BatchTable {
 public:
  // At the start of a round everything runs.
  void begin(const memory::Round& round);

  std::size_t places(const schedule::Step& step) const { return newest_[index(step)].size(); }
  BatchRows rows(const schedule::Step& step) const;

  // Who stands in each place, for the step's (or a later) token step. Lists of two successive token steps
  // exist side by side.
  const std::vector<Occupant>& occupants(const schedule::Step& step) const {
    return entry(step, step.token_step.value).who;
  }
  void set_occupants(const schedule::Step& step, std::int64_t token_step, std::vector<Occupant> who);
  // Of the next token step: the rows' sequences that go on (one flag a span) stay, free places go to waiting
  // sequences, as long as the batch has no more than `most_rows` rows.
  std::vector<Occupant> next_occupants(const schedule::Step& step, const BatchRows& rows,
                                       const std::vector<std::uint8_t>& goes_on, std::int64_t most_rows);
  std::int64_t new_tokens_of(const schedule::Step& step, const RowSpan& span) const;

  // Ids of the newest tokens: of the rows that ran, and (on the first stage) of every place.
  std::vector<std::int32_t>& tokens(const schedule::Step& step) { return tokens_[index(step)]; }
  // Where those of a step's rows go: the first part of a GPU batch makes room for all.
  std::span<std::int32_t> room_for_tokens(const schedule::Step& step, const BatchRows& rows);
  void set_newest(const schedule::Step& step, const BatchRows& rows, const std::vector<std::int32_t>& tokens);
  const std::vector<std::int32_t>& newest(const schedule::Step& step) const { return newest_[index(step)]; }

  // Nothing runs any more in the whole round, as far as this stage knows.
  bool all_over() const { return batches_running_ == 0; }

 private:
  struct Places {
    std::vector<Occupant> who;
    std::vector<std::int64_t> position;  // of the first of its rows in this token step
  };
  std::size_t index(const schedule::Step& step) const;
  const Places& entry(const schedule::Step& step, std::int64_t token_step) const;
  std::int64_t count_rows(const Places& places, std::size_t place) const;

  std::size_t gpu_batches_ = 0;
  std::vector<memory::GpuBatch> beginning_;        // [micro-batch, GPU batch]: who stands there in prefill
  std::vector<memory::Sequence> sequences_;        // by number
  std::size_t next_waiting_ = 0;                   // number of the next that waits; first stage only
  std::vector<Places> places_;                     // [micro-batch, GPU batch, parity of the token step]
  std::vector<std::vector<std::int32_t>> tokens_;  // [micro-batch, GPU batch][sequence with rows]
  std::vector<std::vector<std::int32_t>> newest_;  // [micro-batch, GPU batch][place]
  std::vector<std::uint8_t> over_;                 // [micro-batch, GPU batch]
  std::atomic<std::int64_t> batches_running_{0};
};

}  // namespace optpipe::executor
