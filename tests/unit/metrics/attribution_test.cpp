#include "optpipe/metrics/attribution.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace optpipe::metrics {
namespace {

using schedule::Program;
using schedule::Queue;
using schedule::StepKind;
using schedule::StepTime;

// A rank's program as a list of steps with their times.
class TimedSteps {
 public:
  explicit TimedSteps(int rank = 0, int ranks = 1) {
    program_.rank = Rank(rank);
    program_.ranks = ranks;
  }
  TimedSteps& add(StepKind kind, int token_step, double begin_s, double end_s) {
    schedule::Step step;
    step.kind = kind;
    step.queue = schedule::queue_of(kind);
    step.token_step = TokenStep(token_step);
    times_.push_back({StepId(static_cast<std::int64_t>(program_.steps.size())), begin_s, end_s});
    program_.steps.push_back(step);
    return *this;
  }
  RunSplit split() const { return split_run(program_, times_); }
  std::optional<double> share() const { return kv_share(program_, times_); }
  std::vector<StepTime>& times() { return times_; }

 private:
  Program program_;
  std::vector<StepTime> times_;
};

TEST(Attribution, CountsEveryInstantOnce) {
  const auto split =
      TimedSteps()
          .add(StepKind::load_weights, 0, 0, 2)  // the first second before, the second under computation
          .add(StepKind::attend, 0, 1, 3)
          .add(StepKind::store_kv, 0, 2.5, 4)
          .add(StepKind::attend, 1, 5, 6)
          .add(StepKind::read_kv, 1, 4.5, 7)
          .split();
  EXPECT_DOUBLE_EQ(split.prefill[Activity::load], 1);
  EXPECT_DOUBLE_EQ(split.prefill[Activity::compute], 2);
  EXPECT_DOUBLE_EQ(split.prefill[Activity::store], 1);
  EXPECT_DOUBLE_EQ(split.prefill.total(), 4);
  EXPECT_DOUBLE_EQ(split.decode[Activity::waiting], 0.5);
  EXPECT_DOUBLE_EQ(split.decode[Activity::disk_read], 1.5);
  EXPECT_DOUBLE_EQ(split.decode[Activity::compute], 1);
  EXPECT_DOUBLE_EQ(split.decode.total(), 3);
}

TEST(Attribution, ASendThatWaitsForItsPeerIsWaiting) {
  TimedSteps steps(0, 2);
  steps.add(StepKind::attend, 0, 0, 1).add(StepKind::send_hidden, 0, 1, 4).add(StepKind::attend, 0, 4, 5);
  steps.times()[1].waited_s = 2;
  const auto split = steps.split();
  EXPECT_DOUBLE_EQ(split.prefill[Activity::waiting], 2);
  EXPECT_DOUBLE_EQ(split.prefill[Activity::send], 1);
}

TEST(Attribution, FillAndDrainAreNoWork) {
  const auto split = TimedSteps(1, 2)
                         .add(StepKind::load_weights, 0, 0, 1)  // ahead of the first message
                         .add(StepKind::recv_hidden, 0, 2, 2.5)
                         .add(StepKind::attend, 0, 2.5, 4)
                         .add(StepKind::send_tokens, 0, 4, 4.5)
                         .add(StepKind::recv_hidden, 1, 5, 5.5)
                         .add(StepKind::attend, 1, 5.5, 6)
                         .split();
  EXPECT_DOUBLE_EQ(split.prefill[Activity::fill], 2);
  EXPECT_DOUBLE_EQ(split.prefill[Activity::recv], 0.5);
  EXPECT_DOUBLE_EQ(split.prefill[Activity::compute], 1.5);
  EXPECT_DOUBLE_EQ(split.prefill[Activity::send], 0.5);
  EXPECT_DOUBLE_EQ(split.decode[Activity::waiting], 0.5);
  EXPECT_DOUBLE_EQ(split.decode[Activity::compute], 0.5);

  const auto first =
      TimedSteps(0, 2).add(StepKind::attend, 0, 0, 1).add(StepKind::recv_tokens, 0, 3, 3.1).split();
  EXPECT_DOUBLE_EQ(first.prefill[Activity::drain], 2.1);
}

TEST(KvShare, IsThatOfTheBusiestQueue) {
  TimedSteps run;
  run.add(StepKind::attend, 0, 0, 50)  // prefill says nothing
      .add(StepKind::attend, 1, 50, 51)
      .add(StepKind::feed_forward, 1, 51, 54)
      .add(StepKind::load_kv, 1, 50, 51);
  EXPECT_DOUBLE_EQ(*run.share(), 0.25);
  run.add(StepKind::load_weights, 1, 54, 63);
  EXPECT_DOUBLE_EQ(*run.share(), 0.1);
  run.times()[1].last = StepId(2);  // a graph
  EXPECT_FALSE(run.share());
  EXPECT_FALSE(TimedSteps().share());
}

TEST(Attribution, AsJsonNamesEveryActivity) {
  PhaseSplit split;
  split[Activity::drain] = 3;
  const auto json = to_json(split);
  EXPECT_EQ(json.size(), kActivities + 1);
  EXPECT_EQ(json["drain"], 3);
  EXPECT_EQ(json["total"], 3);
}

}  // namespace
}  // namespace optpipe::metrics
