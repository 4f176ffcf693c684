#include "kernels/cpu/attention_plan.hpp"

#include <algorithm>

namespace optpipe::kernels {
namespace {

constexpr std::int64_t kQueries = 96;  // that share keys and values once widened; multiple of tile heights
constexpr std::int64_t kFewestQueries = 12;
constexpr std::int64_t kRowBytes = 4096;  // contiguous piece of a cache row worth a stream of its own
constexpr std::int64_t kLeastRowBytes = 1024;
constexpr double kFull = 0.95, kFewRounds = 0.9;  // of what threads could do, where lengths and cores differ
constexpr std::int64_t kRounds = 3;
constexpr std::int64_t kUnitsPerThread = 4;  // dynamic scheduling evens out the rest

std::int64_t divide_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

// Bound by memory: long pieces matter most, then that threads end together. So the fewest units of a task are
// taken that make kRounds over all threads, full to kFull, but no pieces below kLeastRowBytes for that, and
// none above kRowBytes.
std::int64_t heads_of_decode(std::int64_t heads, std::int64_t head_bytes, std::int64_t tasks,
                             std::int64_t threads) {
  const auto pieces = [&](std::int64_t bytes) {
    return divide_up(heads, std::clamp<std::int64_t>(bytes / head_bytes, 1, heads));
  };
  const std::int64_t fewest = pieces(kRowBytes), most = std::max(fewest, pieces(kLeastRowBytes));
  std::int64_t best = fewest;
  double fullest = 0;
  for (std::int64_t units = fewest; units <= heads; ++units) {
    const std::int64_t all = tasks * units;
    if (units > most && all - tasks >= threads) break;  // smaller pieces than wanted only for idle threads
    double full = static_cast<double>(all) / static_cast<double>(divide_up(all, threads) * threads);
    if (threads > 1 && all < kRounds * threads) full *= kFewRounds;
    if (full <= fullest) continue;
    best = units;
    fullest = full;
    if (full >= kFull) break;
  }
  return divide_up(heads, best);
}

}  // namespace

AttentionPlan::Cut AttentionPlan::cut(const AttentionTask& task, std::int64_t head_bytes, std::int64_t tasks,
                                      std::int64_t threads) {
  Cut cut{.rows = task.rows, .heads = task.heads};
  if (task.rows == 1) {
    if (cut.heads > 0) cut.heads_per_unit = heads_of_decode(cut.heads, head_bytes, tasks, threads);
  } else {
    const std::int64_t own = divide_up(threads, tasks), wanted = own > 1 ? own * kUnitsPerThread : 1;
    cut.rows_per_unit = kQueries;
    while (cut.units() < wanted && cut.rows_per_unit > kFewestQueries) cut.rows_per_unit /= 2;
  }
  return cut;
}

void AttentionPlan::make(std::span<const AttentionTask> tasks, std::int64_t head_bytes, int threads) {
  const auto task_count = std::max<std::int64_t>(1, static_cast<std::int64_t>(tasks.size()));
  cuts_.clear();
  units_before_.assign(1, 0);
  for (const AttentionTask& task : tasks) {
    cuts_.push_back(cut(task, head_bytes, task_count, std::max(threads, 1)));
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
