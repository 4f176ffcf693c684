#include "executor/stage/batch_table.hpp"

#include <algorithm>

#include "optpipe/base/check.hpp"

namespace optpipe::executor {

void BatchTable::begin(const memory::Round& round) {
  round_ = &round;
  gpu_batches_ = round.micro_batches.front().size();
  running_.clear();
  over_.clear();
  batches_running_ = 0;
  for (const auto& micro_batch : round.micro_batches) {
    for (const auto& batch : micro_batch) {
      for (int parity = 0; parity < 2; ++parity) running_.emplace_back(batch.size(), std::uint8_t{1});
      over_.push_back(batch.empty());
      if (!batch.empty()) ++batches_running_;
    }
  }
  tokens_.assign(over_.size(), {});
  newest_.clear();
  for (const auto& micro_batch : round.micro_batches)
    for (const auto& batch : micro_batch) newest_.emplace_back(batch.size(), -1);
}

std::size_t BatchTable::index(const schedule::Step& step) const {
  return static_cast<std::size_t>(step.micro_batch.value) * gpu_batches_ +
         static_cast<std::size_t>(step.gpu_batch.value);
}

const memory::GpuBatch& BatchTable::batch(const schedule::Step& step) const {
  return round_->micro_batches[static_cast<std::size_t>(step.micro_batch.value)]
                              [static_cast<std::size_t>(step.gpu_batch.value)];
}

const std::vector<std::uint8_t>& BatchTable::entry(const schedule::Step& step,
                                                   std::int64_t token_step) const {
  return running_[index(step) * 2 + static_cast<std::size_t>(token_step % 2)];
}

BatchRows BatchTable::rows(const schedule::Step& step) const {
  const auto& sequences = batch(step);
  const auto& flags = running(step);
  const std::int64_t t = step.token_step.value;
  BatchRows rows;
  rows.prompt = t == 0;
  for (std::size_t s = 0; s < sequences.size(); ++s) {
    if (!flags[s]) continue;
    const auto prompt = sequences[s].prompt_tokens;
    const RowSpan span{static_cast<std::int32_t>(s), rows.rows, t == 0 ? 0 : prompt + t - 1,
                       t == 0 ? prompt : 1};
    rows.spans.push_back(span);
    rows.rows += span.count;
  }
  return rows;
}

void BatchTable::set_newest(const schedule::Step& step, const BatchRows& rows,
                            const std::vector<std::int32_t>& tokens) {
  for (std::size_t i = 0; i < rows.spans.size(); ++i)
    newest_[index(step)][static_cast<std::size_t>(rows.spans[i].sequence)] = tokens[i];
}

void BatchTable::set_running(const schedule::Step& step, std::int64_t token_step,
                             std::vector<std::uint8_t> flags) {
  const auto i = index(step);
  OPTPIPE_CHECK(flags.size() == batch(step).size(), "{} flags for {} sequences", flags.size(),
                batch(step).size());
  const bool over = std::ranges::count(flags, 0) == static_cast<std::ptrdiff_t>(flags.size());
  if (over && !over_[i]) --batches_running_;
  over_[i] = over || over_[i];
  running_[i * 2 + static_cast<std::size_t>(token_step % 2)] = std::move(flags);
}

}  // namespace optpipe::executor
