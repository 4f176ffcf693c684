#include "executor/stage/batch_table.hpp"

#include <algorithm>

#include "optpipe/base/check.hpp"

namespace optpipe::executor {

void BatchTable::begin(const memory::Round& round) {
  gpu_batches_ = round.micro_batches.front().size();
  beginning_.clear();
  sequences_.clear();
  places_.clear();
  over_.clear();
  newest_.clear();
  batches_running_ = 0;
  for (const auto& micro_batch : round.micro_batches) {
    for (const auto& batch : micro_batch) {
      beginning_.push_back(batch);
      Places places{{}, std::vector<std::int64_t>(batch.size(), 0)};
      for (const memory::Sequence& sequence : batch) {
        places.who.push_back(static_cast<Occupant>(sequences_.size()));
        sequences_.push_back(sequence);
      }
      places_.push_back(places);
      places_.push_back(std::move(places));
      newest_.emplace_back(batch.size(), -1);
      over_.push_back(batch.empty());
      if (!batch.empty()) ++batches_running_;
    }
  }
  next_waiting_ = sequences_.size();
  sequences_.insert(sequences_.end(), round.waiting.begin(), round.waiting.end());
  tokens_.assign(over_.size(), {});
}

std::size_t BatchTable::index(const schedule::Step& step) const {
  return static_cast<std::size_t>(step.micro_batch.value) * gpu_batches_ +
         static_cast<std::size_t>(step.gpu_batch.value);
}

const BatchTable::Places& BatchTable::entry(const schedule::Step& step, std::int64_t token_step) const {
  return places_[index(step) * 2 + static_cast<std::size_t>(token_step % 2)];
}

std::int64_t BatchTable::count_rows(const Places& places, std::size_t place) const {
  if (places.who[place] == kNobody) return 0;
  return places.position[place] == 0 ? sequences_[static_cast<std::size_t>(places.who[place])].prompt_tokens
                                     : 1;
}

BatchRows BatchTable::rows(const schedule::Step& step) const {
  const Places& places = entry(step, step.token_step.value);
  BatchRows rows;
  const auto part = step.parts > 1 ? memory::places_of_part(beginning_[index(step)], step.part, step.parts)
                                   : memory::Places{0, places.who.size()};
  rows.first_span = part.begin - static_cast<std::size_t>(std::count(
                                     places.who.begin(),
                                     places.who.begin() + static_cast<std::ptrdiff_t>(part.begin), kNobody));
  for (std::size_t p = part.begin; p < part.end; ++p) {
    if (places.who[p] == kNobody) continue;
    const auto& sequence = sequences_[static_cast<std::size_t>(places.who[p])];
    RowSpan span{static_cast<std::int32_t>(p), 0, places.position[p], count_rows(places, p)};
    span.prompt = span.position == 0;
    span.index = sequence.index;
    span.age = span.prompt ? 0 : span.position - sequence.prompt_tokens + 1;
    if (span.prompt) rows.prompt_rows += span.count;
    rows.rows += span.count;
    rows.spans.push_back(span);
  }
  std::int64_t of_prompts = 0, of_new_tokens = rows.prompt_rows;
  for (RowSpan& span : rows.spans) {
    auto& next = span.prompt ? of_prompts : of_new_tokens;
    span.first_row = next;
    next += span.count;
  }
  return rows;
}

std::span<std::int32_t> BatchTable::room_for_tokens(const schedule::Step& step, const BatchRows& rows) {
  auto& tokens = tokens_[index(step)];
  const auto& who = occupants(step);
  if (step.part == 0)
    tokens.assign(who.size() - static_cast<std::size_t>(std::ranges::count(who, kNobody)), 0);
  return std::span(tokens).subspan(rows.first_span, rows.spans.size());
}

std::int64_t BatchTable::new_tokens_of(const schedule::Step& step, const RowSpan& span) const {
  const auto who = occupants(step)[static_cast<std::size_t>(span.sequence)];
  return sequences_[static_cast<std::size_t>(who)].new_tokens;
}

void BatchTable::set_newest(const schedule::Step& step, const BatchRows& rows,
                            const std::vector<std::int32_t>& tokens) {
  for (std::size_t i = 0; i < rows.spans.size(); ++i)
    newest_[index(step)][static_cast<std::size_t>(rows.spans[i].sequence)] = tokens[i];
}

std::vector<Occupant> BatchTable::next_occupants(const schedule::Step& step, const BatchRows& rows,
                                                 const std::vector<std::uint8_t>& goes_on,
                                                 std::int64_t most_rows) {
  std::vector<Occupant> who(places(step), kNobody);
  std::int64_t next_rows = 0;
  for (std::size_t i = 0; i < rows.spans.size(); ++i) {
    if (!goes_on[i]) continue;
    const auto place = static_cast<std::size_t>(rows.spans[i].sequence);
    who[place] = occupants(step)[place];
    ++next_rows;
  }
  for (Occupant& occupant : who) {
    if (next_waiting_ == sequences_.size()) break;
    const auto prompt = sequences_[next_waiting_].prompt_tokens;
    if (occupant != kNobody || next_rows + prompt > most_rows) continue;
    occupant = static_cast<Occupant>(next_waiting_++);
    next_rows += prompt;
  }
  return who;
}

// Whoever stood in its place in the token step before goes on behind the rows that it had there; others are
// new.
void BatchTable::set_occupants(const schedule::Step& step, std::int64_t token_step,
                               std::vector<Occupant> who) {
  const auto i = index(step);
  OPTPIPE_CHECK(who.size() == places(step), "{} occupants for {} places", who.size(), places(step));
  Places& places = places_[i * 2 + static_cast<std::size_t>(token_step % 2)];
  if (token_step > 0) {
    const Places& before = entry(step, token_step - 1);
    for (std::size_t p = 0; p < who.size(); ++p)
      places.position[p] = who[p] == before.who[p] ? before.position[p] + count_rows(before, p) : 0;
  }
  const bool over = std::ranges::count(who, kNobody) == static_cast<std::ptrdiff_t>(who.size());
  if (over && !over_[i]) --batches_running_;
  over_[i] = over || over_[i];
  places.who = std::move(who);
}

}  // namespace optpipe::executor
