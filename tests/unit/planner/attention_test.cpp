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
    return settle_attention(policy, config, slices, rounds, DType::f16, backend, described_ceilings(16));
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
