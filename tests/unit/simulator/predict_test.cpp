// Predictions against what can be worked out by hand from the machine's rates, and against measured runs.
#include "optpipe/simulator/predict.hpp"

#include <gmock/gmock.h>

#include "optpipe/memory/policy.hpp"

namespace optpipe::simulator {
namespace {

using ::testing::IsEmpty;

const std::vector<double> kAllOnGpu{100, 0, 100, 0, 100, 0}, kMostOnHost{20, 80, 0, 100, 0, 100};

struct Shape {
  const char* model = "opt-6.7b";
  int ranks = 1;
  std::int64_t batch = 24, batches = 1;
  std::vector<double> percent = kAllOnGpu;
  std::int64_t new_tokens = 32;
};

Scenario scenario(const Shape& shape) {
  Scenario s;
  s.config = model::config_of_size(shape.model);
  s.slices = model::balance_stages(s.config, shape.ranks);
  s.policy.gpu_batch_size = shape.batch;
  s.policy.gpu_batches = shape.batches;
  memory::set_percent(s.policy, shape.percent);
  s.ranks_per_node = shape.ranks;
  s.device_link = true;
  const auto prompts = s.policy.prompts_in_flight(shape.ranks);
  for (std::int64_t i = 0; i < prompts; ++i) s.sequences.push_back({i, 512, shape.new_tokens});
  return s;
}

Machine h200() { return load_machine("h200x4"); }
double share_of(const Prediction& prediction, const std::string& resource) {
  for (const auto& use : prediction.resources)
    if (use.name == resource) return use.share;
  return 0;
}

// docs/performance.md: runs on an H200, whose description was not made from them (but for kernel_s).
TEST(Predict, IsNearMeasuredRuns) {
  const auto near = [](double measured) { return testing::DoubleNear(measured, 0.15 * measured); };
  const auto one = predict(scenario({.batch = 32}), h200());
  EXPECT_THAT(one.prefill_s, near(0.317));
  EXPECT_THAT(one.decode_s, near(0.205));
  const auto streamed = predict(
      scenario({.model = "opt-30b", .batch = 48, .batches = 3, .percent = kMostOnHost, .new_tokens = 6}),
      h200());
  EXPECT_THAT(streamed.prefill_s, near(7.8));
  EXPECT_THAT(streamed.decode_s, near(13.74));
  const auto two = predict(scenario({.ranks = 2}), h200());
  EXPECT_THAT(two.prefill_s, near(1.592 / 4));
  EXPECT_THAT(two.decode_s, near(0.851 / 4));
}

// Keys, values and four fifths of the weights cross PCIe in each step of decode: bytes over the rate, and at
// most 3 % more.
TEST(Predict, AStreamedStepTakesItsBytesOverTheRate) {
  const Shape shape{.model = "opt-30b", .batch = 48, .batches = 3, .percent = kMostOnHost, .new_tokens = 6};
  const auto run = predict(scenario(shape), h200());
  const double h = 7168, layers = 48, prompts = 144;
  const double kv = prompts * 2 * 2 * h * layers, weights = 0.8 * 2 * layers * (12 * h * h + 13 * h);
  const double least = (kv * 514.5 + weights) / 55.4e9;
  EXPECT_GT(run.decode_s / 5, least * 0.999);
  EXPECT_LT(run.decode_s / 5, least * 1.03);
  EXPECT_GT(share_of(run, "copies to a device"), 0.5);
}

// Cores that attend to codes slower than they could read are what a step waits for.
TEST(Predict, AttentionOverCodesOnCoresHasItsOwnRate) {
  auto s = scenario({.model = "opt-30b", .batch = 48, .batches = 3, .percent = kMostOnHost, .new_tokens = 6});
  s.policy.kv_format = s.policy.weight_format = StorageFormat::q4;
  s.policy.attention = memory::AttentionPlace::cpu;
  auto machine = h200();
  s.threads = machine.cores;
  machine.host_memory.attention_4bit_bytes_s = 30e9;
  const double step = predict(s, machine).decode_s / 5, least = 144 * 2 * 7168 * 48 * 0.5625 * 514.5 / 30e9;
  EXPECT_GT(step, least * 0.999);
  EXPECT_LT(step, least * 1.03);
}

// A layer's quantized matrices are widened once for all GPU batches, or once for each.
TEST(Predict, LayersThatAreWidenedOnce) {
  auto s = scenario({.batch = 24, .batches = 3, .new_tokens = 6});
  s.policy.weight_format = StorageFormat::q4;
  const auto each = predict(s, h200());
  s.policy.keep_widened = true;
  const auto once = predict(s, h200());
  const double layers = 32, h = 4096, bytes = 12 * h * h * (0.5625 + 2);
  const double widening = layers * bytes / h200().device.memory_bytes_s;
  EXPECT_NEAR((each.decode_s - once.decode_s) / 5, 2 * widening, 0.02 * widening);
  // Prompts: batches of 12,288 rows in chunks of 4,096; products that go on for long slow down together.
  EXPECT_GT(each.prefill_s - once.prefill_s, 0.99 * (3 * 3 - 1) * widening);
  EXPECT_LT(each.prefill_s - once.prefill_s, 1.3 * (3 * 3 - 1) * widening);
}

// X in place of keys and values: half of their bytes, still at the link's pace.
TEST(Predict, AStreamedStepOverTheXCacheMovesHalfAsMuch) {
  auto x = scenario({.model = "opt-30b", .batch = 48, .batches = 3, .percent = kMostOnHost, .new_tokens = 6});
  x.policy.x_cache = true;
  const auto run = predict(x, h200());
  const double h = 7168, layers = 48, prompts = 144;
  const double inputs = prompts * 2 * h * layers, weights = 0.8 * 2 * layers * (12 * h * h + 13 * h);
  const double least = (inputs * 514.5 + weights) / 55.4e9;
  EXPECT_GT(run.decode_s / 5, least * 0.999);
  EXPECT_LT(run.decode_s / 5, least * 1.03);
}

// Where nothing moves, attention over X costs heads times the operations, and products for each head.
TEST(Predict, TheXCacheCostsComputation) {
  auto run = scenario({.new_tokens = 6});
  const double keys = predict(run, h200()).decode_s;
  run.policy.x_cache = true;
  EXPECT_GT(predict(run, h200()).decode_s, 1.02 * keys);
  EXPECT_LT(predict(run, h200()).decode_s, 2 * keys);
}

// Four GPUs at once get 167 GB/s from host memory, not four times 55: what each could still do alone is paced
// by the rank with the most layers, 9 of 32.
TEST(Predict, GpusShareTheHostsBus) {
  auto four = scenario({.ranks = 4, .percent = {0, 100, 100, 0, 100, 0}});
  const double weights = 4 * (32 * (12.0 * 4096 * 4096 + 13 * 4096) + 50272.0 * 4096) * 2;  // a token step's
  const auto together = predict(four, h200());
  EXPECT_NEAR(together.first_step_s, weights / 167e9, 0.03 * together.first_step_s);
  four.ranks_per_node = 1;
  const auto apart = predict(four, h200());
  EXPECT_NEAR(apart.first_step_s, 4 * 9 * (12.0 * 4096 * 4096 + 13 * 4096) * 2 / 55.4e9,
              0.03 * apart.first_step_s);
}

// A long run is interpolated between a few of its steps: near the full simulation, where steps grow with the
// context and where they do not.
TEST(Predict, InterpolationIsNearTheFullSimulation) {
  for (const auto& percent : {kAllOnGpu, std::vector<double>{100, 0, 0, 100, 100, 0},
                              std::vector<double>{0, 100, 50, 50, 0, 100}}) {
    const auto long_run =
        scenario({.model = "opt-1.3b", .batch = 16, .batches = 2, .percent = percent, .new_tokens = 120});
    const auto full = predict(long_run, h200(), {.most_steps = 1000});
    const auto quick = predict(long_run, h200());
    EXPECT_EQ(quick.simulated_steps, 8);
    EXPECT_EQ(full.simulated_steps, 120);
    EXPECT_NEAR(quick.prefill_s, full.prefill_s, 0.01 * full.prefill_s);
    EXPECT_NEAR(quick.decode_s, full.decode_s, 0.01 * full.decode_s);
  }
}

TEST(Predict, WithoutOverlapItTakesLonger) {
  auto run = scenario({.batches = 2, .percent = {0, 100, 0, 100, 0, 100}, .new_tokens = 4});
  const double overlapped = predict(run, h200()).total_s();
  run.policy.overlap = false;
  EXPECT_GT(predict(run, h200()).total_s(), 1.2 * overlapped);
}

TEST(Predict, RoundsAddUp) {
  auto run = scenario({});
  const auto one = predict(run, h200());
  const auto sequences = run.sequences;
  for (int i = 0; i < 2; ++i) run.sequences.insert(run.sequences.end(), sequences.begin(), sequences.end());
  run.sequences.push_back({0, 512, 32});  // and a single prompt in a round of its own
  const auto four = predict(run, h200());
  EXPECT_EQ(four.rounds, 4);
  EXPECT_GT(four.prefill_s, 3 * one.prefill_s);
  EXPECT_LT(four.prefill_s, 3.3 * one.prefill_s);
  EXPECT_GT(four.decode_s, 3.5 * one.decode_s);
}

TEST(Predict, LongPromptsSlowTheGpuDownWhenPowerIsAtItsLimit) {
  auto machine = h200();
  const auto run = scenario({.batch = 64, .batches = 4, .new_tokens = 1});
  const double with = predict(run, machine).prefill_s;
  machine.device.sustained = 1;
  EXPECT_NEAR(with / predict(run, machine).prefill_s, 1 / 0.88, 0.08);
}

// Sixty-four ranks on eight nodes, as a laptop plans them.
TEST(Predict, ManyRanks) {
  auto run = scenario({.model = "opt-175b", .ranks = 64, .batch = 8, .new_tokens = 32});
  run.ranks_per_node = 8;
  const auto prediction = predict(run, h200());
  EXPECT_THAT(prediction.deadlock, IsEmpty());
  EXPECT_EQ(prediction.use.size(), 64u);
  EXPECT_GT(prediction.decode_s, 0);
}

// A CPU rank's loads share the memory's bandwidth with its products.
TEST(Predict, CpuRanksShareHostMemory) {
  Machine machine = load_machine("h200x4");
  machine.devices = 2;
  machine.cores = 4;
  machine.device.is_gpu = false;
  machine.device.threads = 2;
  machine.device.products = machine.device.prompt_products = {{1, 10e9}, {8, 60e9}, {512, 200e9}};
  machine.device.prompt_attention_flops_s = 50e9;
  machine.device.attention_bytes_s = 10e9;
  machine.device.memory_bytes_s = 10e9;
  machine.device.embedding_values_s = 0.44e9;
  machine.copies.in = machine.copies.out = 6e9;
  machine.host_memory = {16 * kGiB, 20e9, 20e9};
  auto run = scenario({.model = "opt-125m", .batch = 4, .batches = 2, .new_tokens = 6});
  run.backend = planner::Backend::cpu;
  run.threads = 2;
  const auto resident = predict(run, machine);
  memory::set_percent(run.policy, std::vector<double>{0, 100, 0, 100, 100, 0});
  const auto streamed = predict(run, machine);
  EXPECT_GT(resident.prefill_s, 8 * 512 * 2 * 85e6 / 200e9);
  EXPECT_GT(streamed.decode_s, resident.decode_s);
  EXPECT_GT(share_of(streamed, "host memory"), share_of(resident, "host memory"));
}

}  // namespace
}  // namespace optpipe::simulator
