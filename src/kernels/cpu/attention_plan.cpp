#include "kernels/cpu/attention_plan.hpp"

#include <algorithm>

namespace optpipe::kernels {
namespace {

constexpr std::int64_t kQueries = 96;  // that share keys and values once widened; multiple of tile heights
constexpr std::int64_t kFewestQueries = 12;
constexpr std::int64_t kRowBytes = 4096;  // contiguous piece of a cache row worth a stream of its own
constexpr std::int64_t kLeastRowBytes = 1024;
constexpr std::int64_t kUnitsPerThread = 4;  // dynamic scheduling evens out the rest

std::int64_t divide_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

}  // namespace

AttentionPlan::Cut AttentionPlan::cut(const AttentionTask& task, std::int64_t head_bytes,
                                      std::int64_t threads, std::int64_t units) {
  Cut cut{.rows = task.rows, .heads = task.heads};
  if (task.rows == 1) {  // bound by memory: long pieces matter more than even shares
    // No thread idle, then enough units to end together, but no pieces below kLeastRowBytes for that.
    const std::int64_t share = divide_up(task.heads, threads), even = divide_up(task.heads, units);
    const std::int64_t wanted = std::min(share, std::max(even, kLeastRowBytes / head_bytes));
    const std::int64_t most = std::max<std::int64_t>(1, std::min(wanted, kRowBytes / head_bytes));
    if (cut.heads > 0) cut.heads_per_unit = divide_up(cut.heads, divide_up(cut.heads, most));
  } else {
    const std::int64_t wanted = threads > 1 ? threads * kUnitsPerThread : 1;
    cut.rows_per_unit = kQueries;
    while (cut.units() < wanted && cut.rows_per_unit > kFewestQueries) cut.rows_per_unit /= 2;
  }
  return cut;
}

void AttentionPlan::make(std::span<const AttentionTask> tasks, std::int64_t head_bytes, int threads) {
  const auto task_count = std::max<std::int64_t>(1, static_cast<std::int64_t>(tasks.size()));
  const std::int64_t threads_a_task = divide_up(std::max(threads, 1), task_count);
  const std::int64_t units_a_task = divide_up(threads > 1 ? threads * kUnitsPerThread : 1, task_count);
  cuts_.clear();
  units_before_.assign(1, 0);
  for (const AttentionTask& task : tasks) {
    cuts_.push_back(cut(task, head_bytes, threads_a_task, units_a_task));
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
