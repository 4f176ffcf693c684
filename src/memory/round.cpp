#include "optpipe/memory/round.hpp"

#include <algorithm>
#include <functional>
#include <span>

namespace optpipe::memory {
namespace {

// Part `index` of `parts` nearly equal contiguous parts.
std::span<const Sequence> part(std::span<const Sequence> all, std::int64_t index, std::int64_t parts) {
  const auto size = static_cast<std::int64_t>(all.size());
  const auto begin = size * index / parts, end = size * (index + 1) / parts;
  return all.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin));
}

template <class Visit>
void for_each_sequence(const Round& round, Visit visit) {
  for (const auto& micro_batch : round.micro_batches)
    for (const auto& gpu_batch : micro_batch)
      for (const auto& sequence : gpu_batch) visit(sequence);
}

}  // namespace

std::int64_t Round::sequences() const {
  std::int64_t count = 0;
  for_each_sequence(*this, [&](const Sequence&) { ++count; });
  return count + static_cast<std::int64_t>(waiting.size());
}

std::int64_t Round::token_steps() const {
  constexpr std::int64_t kStepsOfAProgram = 64;
  if (!waiting.empty()) return kStepsOfAProgram;
  std::int64_t steps = 0;
  for_each_sequence(*this, [&](const Sequence& sequence) { steps = std::max(steps, sequence.new_tokens); });
  return steps;
}

std::int64_t Round::shared_positions() const {
  if (waiting.empty()) return 0;
  std::int64_t positions = 0;
  for_each_sequence(*this,
                    [&](const Sequence& other) { positions = std::max(positions, other.kv_positions()); });
  for (const Sequence& other : waiting) positions = std::max(positions, other.kv_positions());
  return positions;
}

// A sequence belongs where its middle token does.
Places places_of_part(const GpuBatch& batch, int part, int parts) {
  std::int64_t total = 0, before = 0;
  for (const Sequence& sequence : batch) total += sequence.prompt_tokens;
  Places places{batch.size(), batch.size()};
  for (std::size_t p = 0; p < batch.size(); ++p) {
    const auto middle = 2 * before + batch[p].prompt_tokens;  // in halves of a token
    before += batch[p].prompt_tokens;
    const auto own = static_cast<int>(middle * parts / (2 * total));
    if (own >= part) places.begin = std::min(places.begin, p);
    if (own > part) return {places.begin, p};
  }
  return places;
}

// One prompt may always enter a batch, even if all other places of it are taken.
std::int64_t Round::most_rows(int parts) const {
  if (!waiting.empty()) parts = 1;  // a batch may be full of new prompts in any token step
  std::int64_t longest = 0, most = 0;
  for (const Sequence& sequence : waiting) longest = std::max(longest, sequence.prompt_tokens);
  for (const auto& micro_batch : micro_batches)
    for (const auto& batch : micro_batch) {
      most = std::max(most, longest + static_cast<std::int64_t>(batch.size()));
      for (int part = 0; part < parts; ++part) {
        const Places places = places_of_part(batch, part, parts);
        std::int64_t rows = 0;
        for (std::size_t p = places.begin; p < places.end; ++p) rows += batch[p].prompt_tokens;
        most = std::max(most, rows);
      }
    }
  return most;
}

std::vector<Round> make_rounds(const std::vector<Sequence>& given, const Policy& policy, int stages) {
  std::vector<Sequence> sequences = given;
  if (policy.refill) std::ranges::stable_sort(sequences, std::greater<>(), &Sequence::new_tokens);
  const auto micro_batches = policy.micro_batches_for(stages);
  const auto capacity = static_cast<std::size_t>(policy.prompts_in_flight(stages));
  std::vector<Round> rounds;
  for (std::size_t begin = 0; begin < sequences.size(); begin += capacity) {
    const auto all = std::span(sequences).subspan(begin, std::min(capacity, sequences.size() - begin));
    Round& round = rounds.emplace_back();
    for (std::int64_t m = 0; m < micro_batches; ++m) {
      const auto of_micro_batch = part(all, m, micro_batches);
      MicroBatch& micro_batch = round.micro_batches.emplace_back();
      for (std::int64_t k = 0; k < policy.gpu_batches; ++k) {
        const auto of_gpu_batch = part(of_micro_batch, k, policy.gpu_batches);
        micro_batch.emplace_back(of_gpu_batch.begin(), of_gpu_batch.end());
      }
    }
    if (policy.refill) {
      round.waiting.assign(sequences.begin() + static_cast<std::ptrdiff_t>(begin + all.size()),
                           sequences.end());
      break;
    }
  }
  return rounds;
}

}  // namespace optpipe::memory
