// Floors against bytes and rates by hand.
#include "optpipe/simulator/floors.hpp"

#include <gtest/gtest.h>

namespace optpipe::simulator {
namespace {

constexpr auto at(schedule::Queue queue) { return static_cast<std::size_t>(queue); }

Scenario streamed(std::int64_t new_tokens) {
  Scenario s;
  s.config = model::config_of_size("opt-30b");
  s.slices = model::balance_stages(s.config, 1);
  s.policy.gpu_batch_size = 48;
  s.policy.gpu_batches = 3;
  s.threads = 16;
  memory::set_percent(s.policy, std::vector<double>{20, 80, 0, 100, 0, 100});
  for (std::int64_t i = 0; i < 144; ++i) s.sequences.push_back({i, 512, new_tokens});
  return s;
}

// Four fifths of the weights and all keys and values cross PCIe in a decode step.
TEST(Traffic, IsThatOfWeightsAndKeysAndValues) {
  const auto bytes = traffic(streamed(2)).front();
  const double h = 7168, weights = 0.8 * 48 * 2 * (12 * h * h), kv = 144 * 512 * 48 * 4 * h;
  const double loaded = bytes.decode.work_s[at(schedule::Queue::load)];
  EXPECT_NEAR(loaded, weights + kv, 0.02 * loaded);
  EXPECT_NEAR(bytes.decode.kv_s[at(schedule::Queue::load)], kv, 0.01 * kv);
  EXPECT_EQ(bytes.decode.work_s[at(schedule::Queue::compute)], 0);
}

TEST(Floors, OfDecodeAreBytesOverTheRate) {
  const auto machine = load_machine("h200x4");
  const auto scenario = streamed(32);
  const auto floor = floors(scenario, machine).front();
  const auto bytes = traffic(scenario).front();
  const double seconds = floor.decode.work_s[at(schedule::Queue::load)];
  EXPECT_NEAR(seconds, bytes.decode.work_s[at(schedule::Queue::load)] / machine.copies.in, 1e-6 * seconds);
  EXPECT_NEAR(seconds / 31, 2.72, 0.1);  // docs/performance.md: 2.69 s a step, of 5 steps
  EXPECT_GT(floor.prefill.work_s[at(schedule::Queue::compute)], 5);
  EXPECT_LT(floor.prefill.work_s[at(schedule::Queue::compute)], 8);
}

TEST(Floors, WithoutDecodeThereIsNone) {
  const auto ranks = floors(streamed(1), load_machine("h200x4"));
  for (const double seconds : ranks.front().decode.work_s) EXPECT_EQ(seconds, 0);
}

}  // namespace
}  // namespace optpipe::simulator
