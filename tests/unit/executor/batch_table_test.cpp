#include "executor/stage/batch_table.hpp"

#include <gtest/gtest.h>

namespace optpipe::executor {
namespace {

schedule::Step at(std::int64_t token_step, std::int64_t micro_batch, std::int64_t gpu_batch) {
  schedule::Step step;
  step.token_step = TokenStep(token_step);
  step.micro_batch = MicroBatchId(micro_batch);
  step.gpu_batch = GpuBatchId(gpu_batch);
  return step;
}

const memory::Round kRound{{{{{0, 5, 3}, {1, 2, 3}}, {{2, 4, 3}}}, {{{3, 1, 3}}, {}}}};

TEST(BatchTable, PromptsArePackedWithoutPadding) {
  BatchTable table;
  table.begin(kRound);
  const BatchRows rows = table.rows(at(0, 0, 0));
  EXPECT_EQ(rows.rows, 7);
  EXPECT_EQ(rows.spans[1].first_row, 5);
  EXPECT_EQ(rows.spans[1].count, 2);
  EXPECT_EQ(table.rows(at(0, 1, 1)).rows, 0);
}

TEST(BatchTable, EndedSequencesLoseTheirRows) {
  BatchTable table;
  table.begin(kRound);
  table.set_running(at(0, 0, 0), 1, {0, 1});
  const BatchRows rows = table.rows(at(1, 0, 0));
  ASSERT_EQ(rows.rows, 1);
  EXPECT_EQ(rows.spans[0].sequence, 1);
  EXPECT_EQ(rows.spans[0].position, 2) << "right behind the prompt of two tokens";
  EXPECT_EQ(table.rows(at(0, 0, 0)).rows, 7) << "the step before keeps its rows";
}

TEST(BatchTable, KnowsWhenAllIsOver) {
  BatchTable table;
  table.begin(kRound);
  table.set_running(at(0, 0, 0), 1, {0, 0});
  table.set_running(at(0, 0, 1), 1, {0});
  EXPECT_FALSE(table.all_over());
  table.set_running(at(0, 1, 0), 1, {0});
  EXPECT_TRUE(table.all_over());
  table.set_running(at(1, 1, 0), 2, {0});
  EXPECT_TRUE(table.all_over());
}

}  // namespace
}  // namespace optpipe::executor
