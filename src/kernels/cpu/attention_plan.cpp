#include "kernels/cpu/attention_plan.hpp"

#include <algorithm>

namespace optpipe::kernels {
namespace {

constexpr std::int64_t kQueries = 48;  // that share keys and values once widened; multiple of tile heights
constexpr std::int64_t kFewestQueries = 12;
constexpr std::int64_t kRowBytes = 1024;     // contiguous piece of a cache row worth a stream of its own
constexpr std::int64_t kUnitsPerThread = 4;  // dynamic scheduling evens out the rest

std::int64_t divide_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

}  // namespace

AttentionPlan::Cut AttentionPlan::cut(const AttentionTask& task, std::int64_t head_bytes,
                                      std::int64_t wanted) {
  Cut cut{.rows = task.rows, .heads = task.heads};
  if (task.rows == 1) {
    cut.heads_per_unit =
        std::clamp<std::int64_t>(kRowBytes / head_bytes, 1, std::max<std::int64_t>(task.heads, 1));
    while (cut.units() < wanted && cut.heads_per_unit > 1)
      cut.heads_per_unit = divide_up(cut.heads_per_unit, 2);
  } else {
    cut.rows_per_unit = kQueries;
    while (cut.units() < wanted && cut.rows_per_unit > kFewestQueries) cut.rows_per_unit /= 2;
  }
  return cut;
}

void AttentionPlan::make(std::span<const AttentionTask> tasks, std::int64_t head_bytes, int threads) {
  const std::int64_t wanted = threads > 1 ? threads * kUnitsPerThread : 1;
  const auto of_each = divide_up(wanted, std::max<std::int64_t>(1, static_cast<std::int64_t>(tasks.size())));
  cuts_.clear();
  units_before_.assign(1, 0);
  for (const AttentionTask& task : tasks) {
    cuts_.push_back(cut(task, head_bytes, of_each));
    units_before_.push_back(units_before_.back() + cuts_.back().units());
  }
}

AttentionUnit AttentionPlan::unit(std::int64_t index) const {
  const auto after = std::upper_bound(units_before_.begin(), units_before_.end(), index);
  const std::int64_t task = after - units_before_.begin() - 1;
  const Cut& cut = cuts_[static_cast<std::size_t>(task)];
  const std::int64_t within = index - units_before_[static_cast<std::size_t>(task)];
  // Under the causal mask the last queries have most work: they come first, so that threads end together.
  const std::int64_t row_begin = (cut.row_units() - 1 - within / cut.head_units()) * cut.rows_per_unit;
  const std::int64_t head_begin = within % cut.head_units() * cut.heads_per_unit;
  return {task, head_begin, std::min(cut.heads, head_begin + cut.heads_per_unit), row_begin,
          std::min(cut.rows, row_begin + cut.rows_per_unit)};
}

}  // namespace optpipe::kernels
