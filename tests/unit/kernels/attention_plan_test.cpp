// How attention is cut into units: every head and query once, full rounds of threads, pieces worth reading.
#include "kernels/cpu/attention_plan.hpp"

#include <gmock/gmock.h>

#include <map>

namespace optpipe::kernels {
namespace {

std::vector<AttentionTask> decode_tasks(std::int64_t count, std::int64_t heads) {
  std::vector<AttentionTask> tasks;
  for (std::int64_t i = 0; i < count; ++i) tasks.push_back({.rows = 1, .context = 512, .heads = heads});
  return tasks;
}

TEST(AttentionPlan, EveryHeadOfEveryQueryOnce) {
  AttentionPlan plan;
  for (const std::int64_t rows : {1, 7, 300})
    for (const std::int64_t heads : {0, 1, 5, 56})
      for (const int threads : {1, 2, 28, 100}) {
        auto tasks = decode_tasks(3, heads);
        tasks[1].rows = rows;
        plan.make(tasks, 72, threads);
        std::map<std::tuple<std::int64_t, std::int64_t, std::int64_t>, int> seen;
        for (std::int64_t i = 0; i < plan.units(); ++i) {
          const auto unit = plan.unit(i);
          for (auto head = unit.head_begin; head < unit.head_end; ++head)
            for (auto row = unit.row_begin; row < unit.row_end; ++row) ++seen[{unit.task, head, row}];
        }
        ASSERT_EQ(seen.size(), static_cast<std::size_t>(heads * (2 + rows)));
        for (const auto& [where, times] : seen) ASSERT_EQ(times, 1);
      }
}

TEST(AttentionPlan, DecodeFillsTheRoundsOfItsThreads) {
  AttentionPlan plan;
  for (const auto& [tasks, threads] : std::vector<std::pair<std::int64_t, int>>{
           {48, 32}, {48, 28}, {48, 24}, {48, 14}, {144, 32}, {12, 16}, {1, 16}})
    for (const std::int64_t head_bytes : {72, 136, 256}) {
      plan.make(decode_tasks(tasks, 56), head_bytes, threads);
      const auto rounds = (plan.units() + threads - 1) / threads;
      EXPECT_GE(static_cast<double>(plan.units()) / static_cast<double>(rounds * threads), 0.85)
          << tasks << " tasks on " << threads << ", heads of " << head_bytes << " bytes: " << plan.units();
      const auto unit = plan.unit(0);
      const auto piece = (unit.head_end - unit.head_begin) * head_bytes;
      EXPECT_LE(piece, 4096);
      if (tasks >= threads) {
        EXPECT_GE(piece, 512);
      }
    }
}

}  // namespace
}  // namespace optpipe::kernels
