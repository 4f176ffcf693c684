#include "optpipe/memory/policy.hpp"

#include <gtest/gtest.h>

#include <vector>

#include "optpipe/base/error.hpp"

namespace optpipe::memory {
namespace {

TEST(Policy, TakesSixPercentages) {
  Policy policy;
  set_percent(policy, std::vector<double>{20, 80, 0, 100, 10, 30});
  EXPECT_EQ(policy.weights.device, 20);
  EXPECT_EQ(policy.weights.disk(), 0);
  EXPECT_EQ(policy.kv.host, 100);
  EXPECT_EQ(policy.hidden.disk(), 60);
  EXPECT_TRUE(policy.hidden.any_on_disk());
  EXPECT_FALSE(policy.kv.all_on_device());
}

TEST(Policy, RefusesWhatIsNoShare) {
  Policy policy;
  EXPECT_THROW(set_percent(policy, std::vector<double>{20, 90, 0, 100, 0, 100}), UsageError);
  EXPECT_THROW(set_percent(policy, std::vector<double>{-1, 0, 0, 0, 0, 0}), UsageError);
  EXPECT_THROW(set_percent(policy, std::vector<double>{100, 0, 100, 0}), UsageError);
}

TEST(Policy, CountsPromptsInFlight) {
  Policy policy{.gpu_batch_size = 12, .gpu_batches = 3};
  EXPECT_EQ(policy.prompts_in_flight(4), 144);
  policy.micro_batches = 2;
  EXPECT_EQ(policy.prompts_in_flight(4), 72);
}

TEST(Policy, PrefillIsCutBetweenGpuBatchesOrInParts) {
  const auto cut = [](std::int64_t pieces, std::int64_t batches, std::int64_t size = 24) {
    Policy policy{.gpu_batch_size = size, .gpu_batches = batches};
    policy.prefill_pieces = pieces;
    return policy.prefill_cut();
  };
  EXPECT_EQ(cut(0, 4), (PrefillCut{1, 1}));
  EXPECT_EQ(cut(1, 4), (PrefillCut{1, 1}));
  EXPECT_EQ(cut(3, 4), (PrefillCut{3, 1}));
  EXPECT_EQ(cut(4, 4), (PrefillCut{4, 1}));
  EXPECT_EQ(cut(6, 1), (PrefillCut{6, 6}));
  EXPECT_EQ(cut(6, 4), (PrefillCut{8, 2}));
  EXPECT_EQ(cut(100, 2, 3), (PrefillCut{6, 3}));  // a prompt is not cut
  Policy looped{.gpu_batches = 2, .stages = Stages::looped};
  looped.prefill_pieces = 2;
  EXPECT_EQ(looped.prefill_cut(), (PrefillCut{2, 1}));
  looped.hidden = {50, 50};
  EXPECT_EQ(looped.prefill_cut(), (PrefillCut{1, 1}));
}

}  // namespace
}  // namespace optpipe::memory
