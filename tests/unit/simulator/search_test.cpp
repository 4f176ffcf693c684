#include "optpipe/simulator/search.hpp"

#include <gmock/gmock.h>

namespace optpipe::simulator {
namespace {

using ::testing::Each;
using ::testing::IsEmpty;
using ::testing::Not;

SearchRequest request(const char* model, std::vector<int> ranks) {
  SearchRequest r;
  r.config = model::config_of_size(model);
  r.site.machine = load_machine("h200x4");
  r.site.ranks_per_node = 4;
  r.ranks = std::move(ranks);
  r.new_tokens = 16;
  return r;
}

planner::RunRequest plan_of(const SearchRequest& r, const memory::Policy& policy, int ranks) {
  return make_request(r.site, r.config, model::balance_stages(r.config, ranks), r.weights,
                      equal_sequences(policy.prompts_in_flight(ranks), r.prompt_tokens, r.new_tokens));
}
// With its place of attention chosen, as plan does it.
memory::Policy settle(const SearchRequest& r, const memory::Policy& policy, const planner::RunRequest& plan) {
  const int ranks = static_cast<int>(plan.slices.size());
  return planner::settle_attention(
      policy, r.config, plan.slices, memory::make_rounds(plan.sequences, policy, ranks), r.weights,
      plan.ranks.front().backend, {attention_ceilings(r.site.machine, policy.kv_format)});
}
bool fits(const SearchRequest& r, const memory::Policy& policy, int ranks) {
  const auto plan = plan_of(r, policy, ranks);
  return planner::find_shortages(plan, planner::plan_run(plan, settle(r, policy, plan))).empty();
}
double token_s(const SearchRequest& r, const memory::Policy& policy, int ranks) {
  const auto plan = plan_of(r, policy, ranks);
  const auto prediction = predict(make_scenario(r.site, plan, settle(r, policy, plan)), r.site.machine);
  return static_cast<double>(policy.prompts_in_flight(ranks) * r.new_tokens) / prediction.total_s();
}

TEST(Search, WhatItFindsFitsAndIsOrdered) {
  auto r = request("opt-30b", {1});
  r.site.host_memory = 80 * kGiB;
  r.site.gpu_memory = 24 * kGiB;
  const auto result = search(r);
  ASSERT_THAT(result.best, Not(IsEmpty()));
  for (const auto& found : result.best) {
    EXPECT_TRUE(fits(r, found.policy, found.ranks));
    EXPECT_LE(found.token_s, result.best.front().token_s);
    EXPECT_DOUBLE_EQ(found.token_s, token_s(r, found.policy, found.ranks));
  }
}

TEST(Search, TriesTheXCacheWhereItMay) {
  auto r = request("opt-30b", {1});
  r.site.host_memory = 80 * kGiB;
  r.site.gpu_memory = 24 * kGiB;
  r.keep = 40;
  const auto uses_x = [](const Found& found) { return found.policy.x_cache; };
  EXPECT_TRUE(std::ranges::none_of(search(r).best, uses_x));
  r.x_cache = true;
  const auto with_x = search(r).best;
  EXPECT_TRUE(std::ranges::any_of(with_x, uses_x));
  for (const auto& found : with_x) {
    EXPECT_TRUE(fits(r, found.policy, found.ranks));
    if (found.policy.x_cache) {
      EXPECT_EQ(found.policy.attention, memory::AttentionPlace::gpu);
    }
  }
}

// No policy of a coarse grid by hand that fits is better.
TEST(Search, IsNotBeatenByHand) {
  auto r = request("opt-30b", {1});
  r.site.host_memory = 80 * kGiB;
  r.site.gpu_memory = 24 * kGiB;
  const double best = search(r).best.front().token_s;
  for (const double weights : {0.0, 10.0, 20.0, 25.0})
    for (const double kv : {0.0, 30.0})
      for (const std::int64_t batch : {8, 16, 32})
        for (const std::int64_t batches : {1, 2}) {
          memory::Policy policy;
          policy.weights = {weights, 100 - weights};
          policy.kv = {kv, 100 - kv};
          policy.hidden = {0, 100};
          policy.gpu_batch_size = batch;
          policy.gpu_batches = batches;
          if (!fits(r, policy, 1)) continue;
          EXPECT_LE(token_s(r, policy, 1), 1.01 * best);
        }
}

TEST(Search, MoreRanksAreTakenWhereTheyHelp) {
  const auto result = search(request("opt-66b", {1, 2, 4}));
  ASSERT_THAT(result.best, Not(IsEmpty()));
  EXPECT_EQ(result.best.front().ranks, 4);
}

TEST(Search, NothingIsFoundWhereNothingFits) {
  auto r = request("opt-175b", {1});
  r.site.host_memory = r.site.disk_space = kGiB;
  r.site.gpu_memory = 2 * kGiB;
  EXPECT_THAT(search(r).best, IsEmpty());
}

TEST(Search, NothingIsTriedAfterItsTime) {
  auto r = request("opt-175b", {1, 2, 4, 8});
  r.seconds = 0;
  const auto result = search(r);
  EXPECT_GT(result.rated, 0u);
  EXPECT_EQ(result.simulated, 0u);
}

}  // namespace
}  // namespace optpipe::simulator
