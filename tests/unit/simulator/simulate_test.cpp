#include "optpipe/simulator/simulate.hpp"

#include <gmock/gmock.h>

#include "optpipe/schedule/text.hpp"
#include "unit/schedule/programs.hpp"

namespace optpipe::simulator {
namespace {

using schedule::build_all;
using schedule::kHost;
using schedule::Program;
using schedule::Queue;
using schedule::Step;
using schedule::StepKind;
using ::testing::IsEmpty;
using ::testing::Not;

Cost seconds(double work_s) {
  Cost cost;
  cost.work_s = work_s;
  return cost;
}

// Seconds by kind of step; what is not named takes none.
CostFunction by_kind(std::vector<std::pair<StepKind, double>> costs) {
  return [costs = std::move(costs)](const Program&, const Step& step) {
    for (const auto& [kind, work_s] : costs)
      if (kind == step.kind) return seconds(work_s);
    return Cost{};
  };
}

std::vector<Program> parse(std::initializer_list<const char*> texts) {
  std::vector<Program> programs;
  for (const char* text : texts) programs.push_back(schedule::parse_program(text));
  return programs;
}

double end_of(const Simulation& run, std::size_t rank, std::int32_t step) {
  for (const auto& time : run.times[rank])
    if (time.step.value == step) return time.end_s;
  return -1;
}

constexpr auto kLoads = R"(program rank=0 ranks=1 weight_parts=1
step 0 load_weights t=0 m=0 l=0
step 1 attend t=0 m=0 l=0 b=0 after=0
step 2 load_weights t=0 m=0 l=1
step 3 attend t=0 m=0 l=1 b=0 after=2
step 4 load_weights t=0 m=0 l=2 after=1
step 5 attend t=0 m=0 l=2 b=0 after=4
)";

TEST(Simulate, QueuesRunBesideEachOtherAndInOrder) {
  // load 0..2, compute 2..5; load 2..4; load (behind compute) 5..7; compute 5..8; compute 8..11
  const auto run =
      simulate(parse({kLoads}), {}, by_kind({{StepKind::load_weights, 2}, {StepKind::attend, 3}}));
  EXPECT_DOUBLE_EQ(end_of(run, 0, 4), 7);
  EXPECT_DOUBLE_EQ(run.end_s, 11);
  EXPECT_THAT(run.stuck, IsEmpty());
}

TEST(Simulate, WithoutOverlapTimesAddUp) {
  const auto run =
      simulate(parse({kLoads}), {}, by_kind({{StepKind::load_weights, 2}, {StepKind::attend, 3}}), {false});
  EXPECT_DOUBLE_EQ(run.end_s, 15);
}

TEST(Simulate, UseOfQueuesComesFromTheTimes) {
  const auto programs = parse({kLoads});
  const auto run = simulate(programs, {}, by_kind({{StepKind::load_weights, 2}, {StepKind::attend, 3}}));
  const auto use = schedule::utilization(programs[0], run.times[0]).prefill;
  EXPECT_DOUBLE_EQ(use.busy_s[static_cast<std::size_t>(Queue::compute)], 9);
  EXPECT_DOUBLE_EQ(use.busy_s[static_cast<std::size_t>(Queue::load)], 6);
  EXPECT_DOUBLE_EQ(use.covered_s[static_cast<std::size_t>(Queue::load)], 4);
}

TEST(Simulate, StepsShareResources) {
  const std::vector<Resource> resources{{"memory", 10}};
  const auto programs = parse({R"(program rank=0 ranks=1 weight_parts=1
step 0 load_weights t=0 m=0 l=0
step 1 attend t=0 m=0 l=0 b=0
)"});
  const auto run = simulate(programs, resources, [](const Program&, const Step&) {
    Cost cost = seconds(1);
    cost.add(0, 10);
    return cost;
  });
  EXPECT_NEAR(run.end_s, 2, 1e-9);
  EXPECT_NEAR(run.used[0], 20, 1e-9);
}

constexpr auto kSender = R"(program rank=0 ranks=2 weight_parts=1
step 0 attend t=0 m=0 l=0 b=0
step 1 send_hidden t=0 m=0 l=0 b=0 after=0
step 2 attend t=0 m=1 l=0 b=0
step 3 send_hidden t=0 m=1 l=0 b=0 after=2
)";
constexpr auto kReceiver = R"(program rank=1 ranks=2 weight_parts=1
step 0 recv_hidden t=0 m=0 l=1 b=0
step 1 feed_forward t=0 m=0 l=1 b=0 after=0
step 2 recv_hidden t=0 m=1 l=1 b=0 after=1
step 3 feed_forward t=0 m=1 l=1 b=0 after=2
)";

TEST(Simulate, ASendMeetsItsReceive) {
  // Rank 0 computes 0..1 and 1..2, sends 1..1.5. Rank 1 computes 1.5..4.5 and only then receives
  // again: 4.5..5.
  const auto run =
      simulate(parse({kSender, kReceiver}), {},
               by_kind({{StepKind::attend, 1}, {StepKind::send_hidden, 0.5}, {StepKind::feed_forward, 3}}));
  EXPECT_DOUBLE_EQ(end_of(run, 1, 0), 1.5);
  EXPECT_DOUBLE_EQ(end_of(run, 0, 3), 5);
  EXPECT_DOUBLE_EQ(run.end_s, 8);
}

TEST(Simulate, ASmallMessageDoesNotWaitForItsReceive) {
  const auto run = simulate(parse({kSender, kReceiver}), {}, [](const Program&, const Step& step) {
    Cost cost = seconds(step.kind == StepKind::feed_forward ? 3 : step.kind == StepKind::attend ? 1 : 0.5);
    cost.eager = true;
    return cost;
  });
  EXPECT_DOUBLE_EQ(end_of(run, 0, 3), 2.5);
  EXPECT_DOUBLE_EQ(end_of(run, 1, 2), 4.5);
  EXPECT_DOUBLE_EQ(run.end_s, 7.5);
}

TEST(Simulate, RanksThatWaitForEachOtherAreNamed) {
  auto programs = build_all({.ranks = 2, .token_steps = 2, .micro_batches = 2});
  ASSERT_THAT(simulate(programs, {}, by_kind({})).stuck, IsEmpty());
  // Rank 1 wants the second micro-batch of its first token step before the first.
  auto& steps = programs[1].steps;
  const auto recv = std::ranges::find(steps, StepKind::recv_hidden, &Step::kind);
  const auto next = std::ranges::find(steps, StepKind::send_tokens, &Step::kind);
  recv->after[static_cast<std::size_t>(Queue::send)] =
      StepId(static_cast<std::int64_t>(next - steps.begin()));
  const auto run = simulate(programs, {}, by_kind({}));
  ASSERT_THAT(run.stuck, Not(IsEmpty()));
  EXPECT_EQ(run.stuck.front().rank, Rank(0));
}

TEST(Simulate, ASendWithoutAReceiveIsNamed) {
  auto programs = parse({kSender, kReceiver});
  programs[1].steps.resize(2);
  const auto run = simulate(programs, {}, by_kind({}));
  ASSERT_EQ(run.stuck.size(), 1u);
  EXPECT_EQ(run.stuck[0].rank, Rank(0));
  EXPECT_EQ(run.stuck[0].step, StepId(3));
}

// m micro-batches through p equal stages: (m + p - 1) stages' times, the textbook's fill and drain.
TEST(Simulate, APipelineFillsAndDrains) {
  const auto programs = build_all({.ranks = 3, .layers = 6, .token_steps = 1, .micro_batches = 4});
  const auto run = simulate(programs, {}, by_kind({{StepKind::feed_forward, 1}}));
  std::array<double, 3> layers{};
  for (std::size_t r = 0; r < 3; ++r)
    layers[r] =
        static_cast<double>(std::ranges::count(programs[r].steps, StepKind::feed_forward, &Step::kind) / 4);
  const double slowest = *std::ranges::max_element(layers);
  EXPECT_DOUBLE_EQ(run.end_s, 6 + 3 * slowest);
}

// Weights from the host under computation: the slower of the two sets the pace, the first load comes on top.
TEST(Simulate, TheSlowerOfTransferAndComputationSetsThePace) {
  const auto programs = build_all({.layers = 6, .token_steps = 5, .gpu_batches = 2, .layer_weights = kHost});
  const auto run = [&](double load, double compute) {
    return simulate(programs, {}, by_kind({{StepKind::load_weights, load}, {StepKind::attend, compute}}))
        .end_s;
  };
  const double layers = 6 * 5;
  EXPECT_NEAR(run(1, 5), 2 * 5 * layers + 2, 2);
  EXPECT_NEAR(run(5, 1), 2 * 5 * layers + 2, 2);
}

TEST(Simulate, EveryStepRunsOnceInAnyShape) {
  for (const int ranks : {1, 2, 5})
    for (const auto offload : {schedule::kResident, kHost, schedule::kDisk}) {
      const auto programs = build_all({.ranks = ranks,
                                       .token_steps = 3,
                                       .micro_batches = 3,
                                       .gpu_batches = 2,
                                       .layer_weights = offload,
                                       .head_weights = offload,
                                       .kv = offload,
                                       .hidden = offload});
      for (const bool overlap : {true, false}) {
        const auto run =
            simulate(programs, {}, [](const Program&, const Step&) { return seconds(1); }, {overlap});
        EXPECT_THAT(run.stuck, IsEmpty());
        for (std::size_t r = 0; r < programs.size(); ++r)
          EXPECT_EQ(run.times[r].size(), programs[r].steps.size());
      }
    }
}

// Two thousand ranks on 250 nodes: fast enough for a test, and resources of a node are its own.
TEST(Simulate, ManyRanks) {
  constexpr int kRanks = 2000, kPerNode = 8;
  const auto programs = build_all(
      {.ranks = kRanks, .layers = kRanks, .token_steps = 2, .micro_batches = 8, .layer_weights = kHost});
  std::vector<Resource> resources;
  for (int node = 0; node < kRanks / kPerNode; ++node) resources.push_back({"memory", 4, node});
  const auto run = simulate(programs, resources, [](const Program& program, const Step& step) {
    if (step.queue != Queue::load) return seconds(step.queue == Queue::compute ? 1e-3 : 1e-4);
    Cost cost = seconds(1e-3);
    cost.add(program.rank.value / kPerNode, 1);
    return cost;
  });
  EXPECT_THAT(run.stuck, IsEmpty());
  EXPECT_GT(run.end_s, kRanks * 3e-3);
}

}  // namespace
}  // namespace optpipe::simulator
