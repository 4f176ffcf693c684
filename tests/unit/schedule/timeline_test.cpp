#include "optpipe/schedule/timeline.hpp"

#include <gmock/gmock.h>

#include <random>

#include "unit/schedule/programs.hpp"

namespace optpipe::schedule {
namespace {

constexpr auto at(Queue queue) { return static_cast<std::size_t>(queue); }

// Steps of one program that stand for the pieces of time below.
Program program_of(const std::vector<std::pair<Queue, int>>& steps) {
  Program program;
  for (const auto& [queue, token_step] : steps) {
    Step step;
    step.queue = queue;
    step.token_step = TokenStep(token_step);
    program.steps.push_back(step);
  }
  return program;
}

TEST(Utilization, SeparatesPhasesAndMeasuresWhatRanUnderComputation) {
  const Program program = program_of({{Queue::compute, 0},
                                      {Queue::load, 0},
                                      {Queue::load, 0},
                                      {Queue::compute, 1},
                                      {Queue::store, 1},
                                      {Queue::recv, 2}});
  const std::vector<StepTime> times{{StepId(0), 1, 3, {}},   {StepId(1), 0, 2, {}},
                                    {StepId(2), 2, 5, {}},   {StepId(3), 10, 12, {}},
                                    {StepId(4), 11, 15, {}}, {StepId(5), 20, 21, {}}};
  const Utilization use = utilization(program, times);
  EXPECT_DOUBLE_EQ(use.prefill.span_s, 5);
  EXPECT_DOUBLE_EQ(use.prefill.busy_s[at(Queue::compute)], 2);
  EXPECT_DOUBLE_EQ(use.prefill.busy_s[at(Queue::load)], 5);
  EXPECT_DOUBLE_EQ(use.prefill.covered_s[at(Queue::load)], 2);
  EXPECT_DOUBLE_EQ(use.prefill.busy_s[at(Queue::store)], 0);
  EXPECT_DOUBLE_EQ(use.decode.span_s, 11);
  EXPECT_DOUBLE_EQ(use.decode.busy_s[at(Queue::store)], 4);
  EXPECT_DOUBLE_EQ(use.decode.covered_s[at(Queue::store)], 1);
  EXPECT_DOUBLE_EQ(use.decode.covered_s[at(Queue::recv)], 0);

  Utilization sum = use;
  sum += use;
  EXPECT_DOUBLE_EQ(sum.prefill.busy_s[at(Queue::load)], 10);
  EXPECT_DOUBLE_EQ(sum.decode.covered_s[at(Queue::store)], 2);
  EXPECT_DOUBLE_EQ(sum.decode.span_s, 22);
}

TEST(MessageTimes, ASendWorksWhileItsPeerReceives) {
  Program program = program_of({{Queue::send, 0}, {Queue::compute, 0}, {Queue::send, 1}, {Queue::recv, 1}});
  for (const std::size_t send : {0u, 2u}) program.steps[send].kind = StepKind::send_hidden;
  program.steps[1].kind = StepKind::attend;
  program.steps[3].kind = StepKind::recv_hidden;
  std::vector<StepTime> times{
      {StepId(1), 0, 9, {}}, {StepId(0), 1, 5, {}}, {StepId(2), 6, 7, {}}, {StepId(3), 8, 10, {}}};
  EXPECT_EQ(receive_seconds(program, times), std::vector<double>{2});
  find_waiting(program, times, std::vector<double>{1.5, 3});
  EXPECT_DOUBLE_EQ(times[1].waited_s, 2.5);
  EXPECT_DOUBLE_EQ(times[1].seconds(), 1.5);
  EXPECT_DOUBLE_EQ(times[2].waited_s, 0) << "the peer heard of it before: all of it was transfer";
  EXPECT_DOUBLE_EQ(times[0].waited_s, 0);
  EXPECT_DOUBLE_EQ(times[3].waited_s, 0);
  const Utilization use = utilization(program, times);
  EXPECT_DOUBLE_EQ(use.prefill.busy_s[at(Queue::send)], 1.5);
  EXPECT_DOUBLE_EQ(use.decode.busy_s[at(Queue::send)], 1);
}

TEST(Utilization, NothingRanMeansZero) {
  const Utilization use = utilization(program_of({{Queue::compute, 0}}), {});
  EXPECT_EQ(use.prefill.span_s, 0);
  EXPECT_EQ(use.decode.span_s, 0);
  EXPECT_EQ(use.prefill.busy_s[at(Queue::compute)], 0);
}

// Against a count of ticks: time is cut into whole ticks, each of which is busy or not.
TEST(Utilization, EqualsACountOfTicksForRandomTimes) {
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    constexpr int kTicks = 60;
    std::vector<std::pair<Queue, int>> steps;
    std::vector<StepTime> times;
    std::array<std::array<bool, kTicks>, kQueues> busy{};
    for (int i = 0; i < 12; ++i) {
      const auto queue = static_cast<Queue>(random() % kQueues);
      const int begin = static_cast<int>(random() % kTicks),
                end = std::min<int>(kTicks, begin + static_cast<int>(random() % 9));
      steps.emplace_back(queue, 0);
      times.push_back({StepId(i), static_cast<double>(begin), static_cast<double>(end), {}});
      for (int tick = begin; tick < end; ++tick) busy[at(queue)][static_cast<std::size_t>(tick)] = true;
    }
    const PhaseUse use = utilization(program_of(steps), times).prefill;
    for (std::size_t q = 0; q < kQueues; ++q) {
      int ticks = 0, covered = 0;
      for (std::size_t tick = 0; tick < kTicks; ++tick) {
        ticks += busy[q][tick];
        covered += busy[q][tick] && (busy[at(Queue::compute)][tick] || busy[at(Queue::host)][tick]);
      }
      EXPECT_DOUBLE_EQ(use.busy_s[q], ticks);
      EXPECT_DOUBLE_EQ(use.covered_s[q], covered);
    }
  }
}

}  // namespace
}  // namespace optpipe::schedule
