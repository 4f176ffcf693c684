#include "optpipe/metrics/binding.hpp"

#include <gmock/gmock.h>

namespace optpipe::metrics {
namespace {

using schedule::Queue;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr auto at(Queue queue) { return static_cast<std::size_t>(queue); }

RankWork work(std::vector<std::pair<Queue, double>> busy, double span = 10) {
  RankWork rank;
  rank.measured.span_s = span;
  for (const auto& [queue, seconds] : busy) rank.measured.busy_s[at(queue)] = seconds;
  return rank;
}

// OPT-30B, 48x3, keys and values over PCIe: two thirds of what is loaded are keys and values.
TEST(Binding, NamesPcieAndAttentionOnCores) {
  auto rank = work({{Queue::compute, 0.8}, {Queue::load, 9.9}});
  rank.kv_share[at(Queue::load)] = 2.0 / 3;
  const auto binding = find_binding({rank}, {.on_gpu = true});
  ASSERT_TRUE(binding);
  EXPECT_NEAR(binding->speedup, 3, 1e-9);
  EXPECT_EQ(binding->sentence,
            "decode is bound by host to device copies: 99 % of decode; attention on CPU cores "
            "(--cpu-cache-compute) "
            "would make it up to 3.0 times faster");

  rank.attention_on_cores_s = 6.6;  // slow cores: compressed keys and values leave less
  const auto slower = find_binding({rank}, {.on_gpu = true});
  EXPECT_THAT(slower->remedy, HasSubstr("--compress-cache"));
  EXPECT_NEAR(slower->speedup, 9.9 / (3.3 + 6.6 * 36 / 128), 1e-9);
}

TEST(Binding, NoRemedyGoesBelowTheNextQueue) {
  auto rank = work({{Queue::compute, 8}, {Queue::load, 9.9}});
  rank.kv_share[at(Queue::load)] = 1;
  EXPECT_NEAR(find_binding({rank}, {.on_gpu = true})->speedup, 9.9 / 8, 1e-9);
}

TEST(Binding, NamesTheBusiestStage) {
  const auto idle = work({{Queue::compute, 5}});
  const auto busy = work({{Queue::compute, 9}});
  const auto binding = find_binding({idle, busy, idle}, {.ranks = 3});
  EXPECT_EQ(binding->rank, 1u);
  EXPECT_THAT(binding->sentence, StartsWith("stage 1 is bound by computation: 90 % of decode; a larger"));
}

TEST(Binding, WaitingStagesWantMoreMicroBatches) {
  const auto binding = find_binding({work({{Queue::compute, 4}}), work({{Queue::compute, 3}})},
                                    {.ranks = 2, .micro_batches = 2});
  EXPECT_TRUE(binding->waits);
  EXPECT_THAT(binding->sentence, HasSubstr("--num-inner-iterations"));
}

TEST(Binding, NamesASlowNetwork) {
  const std::vector ranks{work({{Queue::send, 9}, {Queue::compute, 1}}), work({{Queue::compute, 7}})};
  EXPECT_EQ(find_binding(ranks, {.ranks = 2})->sentence, "stage 0 is bound by network: 90 % of decode");
  const auto gpus = find_binding(ranks, {.on_gpu = true, .through_host = true, .ranks = 2});
  EXPECT_THAT(gpus->remedy, HasSubstr("--comm-device gpu"));
  EXPECT_NEAR(gpus->speedup, 9, 1e-9) << "computation stays";
}

TEST(Binding, CompressedWeightsAreNotCompressedAgain) {
  const auto rank = work({{Queue::load, 10}});  // weights alone
  EXPECT_THAT(find_binding({rank}, {})->remedy, HasSubstr("--compress-weight"));
  EXPECT_NEAR(find_binding({rank}, {})->speedup, 128.0 / 36, 1e-9);
  EXPECT_THAT(find_binding({rank}, {.quantized_weights = true})->remedy, HasSubstr("--num-gpu-batches"));
}

TEST(Binding, OfNothingIsNone) { EXPECT_FALSE(find_binding({RankWork{}}, {})); }

}  // namespace
}  // namespace optpipe::metrics
