// Which sequences of each GPU batch still run, and the rows that they have in a token step.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "optpipe/memory/round.hpp"
#include "optpipe/schedule/program.hpp"

namespace optpipe::executor {

// The rows of one sequence in a batch of rows [rows, h]: positions [position, position + count) of the
// sequence.
struct RowSpan {
  std::int32_t sequence = 0;  // in its GPU batch
  std::int64_t first_row = 0;
  std::int64_t position = 0;
  std::int64_t count = 0;
};

// Rows of one GPU batch in one token step: the whole prompt at step 0, one row a running sequence later.
// Sequences are packed without padding.
struct BatchRows {
  std::vector<RowSpan> spans;
  std::int64_t rows = 0;
  bool prompt = false;  // of prompts, not of new tokens
};

class BatchTable {
 public:
  // Everything runs at the start of a round.
  void begin(const memory::Round& round);

  const memory::GpuBatch& batch(const schedule::Step& step) const;
  BatchRows rows(const schedule::Step& step) const;

  // One flag a sequence, for the step's (or a later) token step. Flags of two successive token steps exist
  // side by side.
  const std::vector<std::uint8_t>& running(const schedule::Step& step) const {
    return entry(step, step.token_step.value);
  }
  void set_running(const schedule::Step& step, std::int64_t token_step, std::vector<std::uint8_t> flags);

  // Ids of the newest tokens: of the rows that ran, and (on the first stage) of every sequence.
  std::vector<std::int32_t>& tokens(const schedule::Step& step) { return tokens_[index(step)]; }
  void set_newest(const schedule::Step& step, const BatchRows& rows, const std::vector<std::int32_t>& tokens);
  const std::vector<std::int32_t>& newest(const schedule::Step& step) const { return newest_[index(step)]; }

  // Nothing runs any more in the whole round, as far as this stage knows.
  bool all_over() const { return batches_running_ == 0; }

 private:
  std::size_t index(const schedule::Step& step) const;
  const std::vector<std::uint8_t>& entry(const schedule::Step& step, std::int64_t token_step) const;

  const memory::Round* round_ = nullptr;
  std::size_t gpu_batches_ = 0;
  std::vector<std::vector<std::uint8_t>>
      running_;  // [micro-batch, GPU batch, parity of the token step][sequence]
  std::vector<std::vector<std::int32_t>> tokens_;  // [micro-batch, GPU batch][running sequence]
  std::vector<std::vector<std::int32_t>> newest_;  // [micro-batch, GPU batch][sequence]
  std::vector<std::uint8_t> over_;                 // [micro-batch, GPU batch]
  std::atomic<std::int64_t> batches_running_{0};
};

}  // namespace optpipe::executor
