#include "optpipe/metrics/utilization.hpp"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

namespace optpipe::metrics {
namespace {

using schedule::PhaseUse;
using schedule::Queue;
using ::testing::HasSubstr;

constexpr auto at(Queue queue) { return static_cast<std::size_t>(queue); }

PhaseUse phase(double span, const std::vector<std::pair<Queue, std::pair<double, double>>>& queues) {
  PhaseUse use;
  use.span_s = span;
  for (const auto& [queue, times] : queues) {
    use.busy_s[at(queue)] = times.first;
    use.covered_s[at(queue)] = times.second;
  }
  return use;
}

TEST(BindingResource, IsTheBusiestQueueUnlessAllMostlyWait) {
  EXPECT_EQ(binding_resource(phase(10, {{Queue::compute, {9, 9}}, {Queue::load, {5, 5}}})), "computation");
  EXPECT_EQ(binding_resource(phase(10, {{Queue::compute, {3, 3}}, {Queue::load, {9.5, 3}}})),
            "host to device copies");
  EXPECT_EQ(binding_resource(phase(10, {{Queue::disk_read, {7, 3}}, {Queue::load, {6.5, 3}}})), "disk reads");
  EXPECT_EQ(binding_resource(phase(10, {{Queue::compute, {5, 5}}, {Queue::load, {5.9, 5}}})), "waiting");
  EXPECT_EQ(binding_resource(phase(10, {{Queue::send, {8, 0}}})), "network");
  EXPECT_EQ(binding_resource({}), "");
}

TEST(TransferUnderCompute, IsTheShareOfAllTransfers) {
  EXPECT_DOUBLE_EQ(*transfer_under_compute(
                       phase(10, {{Queue::compute, {9, 9}}, {Queue::load, {6, 5}}, {Queue::send, {2, 1}}})),
                   0.75);
  EXPECT_FALSE(transfer_under_compute(phase(10, {{Queue::compute, {9, 9}}})).has_value());
}

TEST(UseReport, HoldsEveryRankAndPhase) {
  RankUse first{
      "alpha",
      {phase(10, {{Queue::compute, {9, 9}}, {Queue::load, {4, 3}}, {Queue::disk_read, {3, 3}}}), {}},
      60,
      0};
  RankUse second{"beta", {phase(8, {{Queue::compute, {2, 2}}}), phase(5, {{Queue::load, {5, 0}}})}};
  const std::vector<RankUse> ranks{first, second};
  const auto json = to_json(ranks);
  ASSERT_EQ(json.size(), 2u);
  EXPECT_EQ(json[0]["host"], "alpha");
  EXPECT_EQ(json[0]["phases"]["prefill"]["span_s"], 10);
  EXPECT_EQ(json[0]["phases"]["prefill"]["busy_s"]["load"], 4);
  EXPECT_EQ(json[0]["phases"]["prefill"]["under_compute_s"]["load"], 3);
  EXPECT_EQ(json[0]["phases"]["prefill"]["transfer_under_compute"], 6.0 / 7);
  EXPECT_EQ(json[0]["phases"]["prefill"]["binds"], "computation");
  EXPECT_TRUE(json[0]["phases"]["decode"].is_null());
  EXPECT_EQ(json[0]["disk"]["read_bytes"], 60);
  EXPECT_EQ(json[0]["disk"]["read_bytes_s"], 20);
  EXPECT_TRUE(json[0]["disk"]["written_bytes_s"].is_null());
  EXPECT_EQ(json[1]["rank"], 1);
  EXPECT_TRUE(json[1]["phases"]["prefill"]["transfer_under_compute"].is_null());
  EXPECT_EQ(json[1]["phases"]["decode"]["binds"], "host to device copies");
  const auto table = to_table(ranks);
  ASSERT_EQ(table.size(), 4u) << "a heading, and no line for the phase that did not happen";
  EXPECT_THAT(table[1], HasSubstr("86 %  computation"));
  EXPECT_THAT(table[3], HasSubstr("0 %  host to device copies"));
}

}  // namespace
}  // namespace optpipe::metrics
