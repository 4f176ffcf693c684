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

const memory::Round kRound{{{{{0, 5, 3}, {1, 2, 3}}, {{2, 4, 3}}}, {{{3, 1, 3}}, {}}}, {}};

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
  table.set_occupants(at(0, 0, 0), 1, {kNobody, 1});
  const BatchRows rows = table.rows(at(1, 0, 0));
  ASSERT_EQ(rows.rows, 1);
  EXPECT_EQ(rows.spans[0].sequence, 1);
  EXPECT_EQ(rows.spans[0].position, 2) << "right behind the prompt of two tokens";
  EXPECT_EQ(table.rows(at(0, 0, 0)).rows, 7) << "the step before keeps its rows";
}

TEST(BatchTable, KnowsWhenAllIsOver) {
  BatchTable table;
  table.begin(kRound);
  table.set_occupants(at(0, 0, 0), 1, {kNobody, kNobody});
  table.set_occupants(at(0, 0, 1), 1, {kNobody});
  EXPECT_FALSE(table.all_over());
  table.set_occupants(at(0, 1, 0), 1, {kNobody});
  EXPECT_TRUE(table.all_over());
  table.set_occupants(at(1, 1, 0), 2, {kNobody});
  EXPECT_TRUE(table.all_over());
}

TEST(BatchTable, WaitingSequencesTakeFreePlaces) {
  memory::Round round = kRound;
  round.waiting = {{4, 6, 2}, {5, 3, 2}};
  BatchTable table;
  table.begin(round);
  const auto first = at(0, 0, 0), second = at(1, 0, 0);
  const auto who = table.next_occupants(first, table.rows(first), {0, 1}, 10);
  EXPECT_EQ(who, (std::vector<Occupant>{4, 1}));
  table.set_occupants(first, 1, who);
  const BatchRows rows = table.rows(second);
  EXPECT_EQ(rows.rows, 7);
  EXPECT_EQ(rows.prompt_rows, 6);
  ASSERT_EQ(rows.spans.size(), 2u);
  EXPECT_TRUE(rows.spans[0].prompt);
  EXPECT_EQ(rows.spans[0].index, 4);
  EXPECT_EQ(rows.spans[0].position, 0);
  EXPECT_EQ(rows.spans[0].first_row, 0);
  EXPECT_FALSE(rows.spans[1].prompt);
  EXPECT_EQ(rows.spans[1].first_row, 6) << "new tokens stand behind the rows of prompts";
  EXPECT_EQ(rows.spans[1].age, 1);
  table.set_occupants(second, 2, table.next_occupants(second, rows, {1, 1}, 10));
  EXPECT_EQ(table.rows(at(2, 0, 0)).spans[0].position, 6) << "right behind its prompt";
  EXPECT_EQ(table.rows(at(2, 0, 0)).spans[1].age, 2);
}

TEST(BatchTable, NobodyEntersBeyondTheMostRows) {
  memory::Round round = kRound;
  round.waiting = {{4, 6, 2}};
  BatchTable table;
  table.begin(round);
  const auto step = at(0, 0, 0);
  EXPECT_EQ(table.next_occupants(step, table.rows(step), {0, 1}, 6), (std::vector<Occupant>{kNobody, 1}));
  EXPECT_EQ(table.next_occupants(step, table.rows(step), {0, 1}, 7), (std::vector<Occupant>{4, 1}));
}

}  // namespace
}  // namespace optpipe::executor
