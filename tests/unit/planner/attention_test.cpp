#include "optpipe/planner/attention.hpp"

#include <gtest/gtest.h>

namespace optpipe::planner {
namespace {

using memory::AttentionPlace;

TEST(AttentionShare, BothFinishTogether) {
  for (const double link : {0.0, 1.0, 20.0})
    for (const double kv : {50.0, 100.0}) {
      const AttentionCeilings ceilings{50, 100};
      const double share = balanced_share({link, kv}, ceilings);
      EXPECT_NEAR((link + (1 - share) * kv) / 50, share * kv / 100, 1e-9) << link << ", " << kv;
    }
}

TEST(AttentionShare, NeverMoreThanAll) {
  EXPECT_EQ(balanced_share({1000, 10}, {50, 100}), 1.0) << "the link is busy with weights anyway";
  EXPECT_EQ(balanced_share({1000, 0}, {50, 100}), 0.0) << "nothing to attend to";
}

TEST(AttentionShare, TheFasterOneOfTwoGoesOnAlone) {
  const AttentionCeilings ceilings{50, 100, 60, 150};
  EXPECT_DOUBLE_EQ(step_seconds({100, 200}, ceilings, 0), 5) << "cores rest: copies have the memory";
  EXPECT_DOUBLE_EQ(step_seconds({0, 300}, ceilings, 1), 2);
  EXPECT_DOUBLE_EQ(step_seconds({170, 100}, ceilings, 1), 1 + 120.0 / 60);
  EXPECT_DOUBLE_EQ(step_seconds({50, 400}, ceilings, 1), 1 + 300.0 / 150);
}

TEST(AttentionShare, IsBestOfAllShares) {
  for (const double link : {0.0, 10.0, 60.0})
    for (const double cpu : {60.0, 100.0}) {
      const AttentionCeilings ceilings{45, cpu, 55, 1.3 * cpu};
      const StepTraffic traffic{link, 120};
      double least = 1e9;
      for (int i = 0; i <= 1000; ++i) least = std::min(least, step_seconds(traffic, ceilings, i / 1000.0));
      const double share = best_share(traffic, ceilings);
      EXPECT_LE(step_seconds(traffic, ceilings, share), (1 + kLeastGain) * least + 1e-9)
          << link << ", " << cpu;
    }
}

// Rates of runs on an H100: OPT-30B in fp16 with 16 cores, in 4 bits with 32.
TEST(AttentionShare, PartsOfSequencesOnlyWhereTheyPay) {
  const AttentionCeilings sixteen{42.7e9, 77e9, 54e9, 100e9};
  EXPECT_EQ(best_share({45.3e9, 63e9}, sixteen), 1.0);
  const AttentionCeilings slower{42.7e9, 58e9, 54e9, 100e9};  // balance: 98.7 %
  EXPECT_LT(balanced_share({45.3e9, 63e9}, slower), 1.0);
  EXPECT_EQ(best_share({45.3e9, 63e9}, slower), 1.0);
  const AttentionCeilings thirty_two{45e9, 70e9, 54e9, 100e9};
  EXPECT_NEAR(best_share({13.6e9, 35.7e9}, thirty_two), 0.84, 0.01);
  EXPECT_EQ(best_share({0, 100e9}, {50e9, 0.5e9}), 0.0) << "cores that would hardly help";
}

TEST(AttentionShare, NoMoreThreadsThanAStepGainsFrom) {
  const std::vector<AttentionCeilings> measured{{50e9, 60e9, 54e9, 60e9, 14}, {44e9, 90e9, 54e9, 120e9, 28}};
  const auto seconds = [](const StepTraffic& traffic, const AttentionCeilings& each) {
    return step_seconds(traffic, each, best_share(traffic, each));
  };
  const StepTraffic weights{100e9, 20e9}, kv{10e9, 200e9}, both{40e9, 70e9};
  EXPECT_EQ(choose_threads(weights, measured).threads, 14) << "copies bind";
  EXPECT_GE(choose_threads(kv, measured).threads, 27) << "cores bind";
  for (const auto& traffic : {weights, kv, both}) {
    const auto chosen = choose_threads(traffic, measured);
    for (const auto& each : measured)
      EXPECT_LE(seconds(traffic, chosen), (1 + kFewerThreadsMayCost) * seconds(traffic, each) + 1e-9);
  }
  EXPECT_EQ(choose_threads(kv, {described_ceilings(16)}).threads, 0) << "one point: nothing to choose";
}

TEST(AttentionShare, MoreCoresReadMoreAndLeaveTheLinkLess) {
  for (int cores = 1; cores < 100; ++cores) {
    const auto less = described_ceilings(cores), more = described_ceilings(cores + 1);
    EXPECT_GE(more.cpu_bytes_s, less.cpu_bytes_s) << cores;
    EXPECT_LE(more.link_bytes_s, less.link_bytes_s) << cores;
  }
  EXPECT_DOUBLE_EQ(described_ceilings(8).cpu_bytes_s, 80e9);
  EXPECT_DOUBLE_EQ(described_ceilings(64).link_bytes_s, 41e9);
}

struct Case {
  model::ModelConfig config = model::config_of_size("opt-30b");
  std::vector<model::StageSlice> slices = model::balance_stages(config, 1);
  memory::Policy policy{.weights = {20, 80}, .kv = {0, 100}, .hidden = {0, 100}};
  std::vector<memory::Round> rounds;

  explicit Case(AttentionPlace place) {
    policy.gpu_batch_size = 48;
    policy.gpu_batches = 3;
    policy.attention = place;
    std::vector<memory::Sequence> sequences;
    for (std::int64_t i = 0; i < 144; ++i) sequences.push_back({i, 512, 32});
    rounds = memory::make_rounds(sequences, policy, 1);
  }
  memory::Policy settle(Backend backend) const {
    return settle_attention(policy, config, slices, rounds, DType::f16, backend, {described_ceilings(16)});
  }
};

TEST(AttentionShare, CountsWhatAStepMoves) {
  const Case c(AttentionPlace::automatic);
  const auto traffic =
      step_traffic(c.config, c.slices, c.policy, c.rounds.front(), DType::f16, Backend::cuda);
  EXPECT_NEAR(traffic.link, 0.8 * 48 * 12 * 7168.0 * 7168 * 2, 0.05 * traffic.link);
  EXPECT_NEAR(traffic.host_kv, 144 * 528 * 48 * 4 * 7168.0, 0.01 * traffic.host_kv);
}

TEST(AttentionShare, SettlesWhatIsOpenOnly) {
  EXPECT_EQ(Case(AttentionPlace::gpu).settle(Backend::cuda).attention, AttentionPlace::gpu);
  EXPECT_EQ(Case(AttentionPlace::cpu).settle(Backend::cuda).attention, AttentionPlace::cpu);
  const auto chosen = Case(AttentionPlace::automatic).settle(Backend::cuda);
  EXPECT_EQ(chosen.attention, AttentionPlace::split);
  EXPECT_GT(chosen.attention_share.value(), 0.9);  // weights take about as long as the cores need for all
  EXPECT_EQ(Case(AttentionPlace::automatic).settle(Backend::cpu).attention, AttentionPlace::gpu);
  Case given(AttentionPlace::split);
  given.policy.attention_share = 0.25;
  EXPECT_EQ(given.settle(Backend::cuda).attention_share, 0.25);
  EXPECT_DOUBLE_EQ(given.settle(Backend::cuda).cpu_attention(), 0.25);
  Case on_device(AttentionPlace::automatic);
  on_device.policy.kv = {100, 0};
  EXPECT_EQ(on_device.settle(Backend::cuda).attention, AttentionPlace::gpu);
}

}  // namespace
}  // namespace optpipe::planner
