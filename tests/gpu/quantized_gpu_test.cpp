// Quantized weights and keys and values on a GPU against the CPU executor with the same formats: logits of
// every token step, as long as both have chosen the same tokens.
//
// Codes of weights are the same on both, so with native keys and values there is fp16 noise alone. Keys and
// values are computed in fp16 on the GPU and in fp32 on the CPU; where one lies near the border of two codes,
// noise turns into a whole step of the code, and later layers see that. Such flips cannot be avoided, but
// they are rarer than roundings, which every value has: the two executors must be closer to each other than
// the format is to the full one. That error is measured beside it, on the CPU.
#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>

#include "gpu/logit_errors.hpp"
#include "support/golden.hpp"
#include "support/pipeline.hpp"

namespace optpipe::test {
namespace {

class GpuQuantized : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (executor::cuda_devices() == 0)
      GTEST_SKIP() << "needs a GPU: run bash tests/run.sh --gpu on a machine that has one";
    golden_ = load_golden(GetParam());
  }

  Output run(Setting setting, StorageFormat weights, StorageFormat kv) const {
    setting.weight_format = weights;
    setting.kv_format = kv;
    return run_pipeline(golden_.model, setting, golden_.prompts, golden_.new_tokens());
  }

  Golden golden_;
};

TEST_P(GpuQuantized, LogitsAreTheCpus) {
  using enum StorageFormat;
  for (const auto& [weights, kv] : {std::pair(q4, native), std::pair(q8, q8), std::pair(q4, q4)}) {
    const Output cpu = run({.gpu_batch_size = 4}, weights, kv);
    const Errors own = errors_between(run({.gpu_batch_size = 4}, weights, native), cpu);  // of the KV format
    Errors all;
    for (const auto& percent : std::vector<std::vector<double>>{{100, 0, 100, 0, 100, 0},
                                                                {20, 80, 0, 100, 0, 100},
                                                                {0, 0, 0, 0, 0, 0},
                                                                {33, 33, 10, 60, 70, 0}}) {
      for (const int ranks : {1, 2}) {
        Setting setting{
            .ranks = ranks, .percent = percent, .gpu_batch_size = 2, .gpu_batches = 2, .cuda = true};
        setting.keep_widened = ranks == 2;
        const Errors errors = errors_between(run(setting, weights, kv), cpu);
        EXPECT_GE(errors.count, static_cast<int>(golden_.prompts.size()));
        EXPECT_LT(errors.mean(), kNoise + 0.5 * own.mean()) << to_string(setting);
        EXPECT_LT(errors.largest, kNoise + own.largest) << to_string(setting);
        all.sum += errors.sum;
        all.count += errors.count;
        all.largest = std::max(all.largest, errors.largest);
      }
    }
    std::printf(
        "weights %-6s KV %-6s: GPU and CPU differ by %.4f (at most %.4f) in %d logit vectors; the KV format "
        "errs by %.4f (%.4f)\n",
        std::string(name_of(weights)).c_str(), std::string(name_of(kv)).c_str(), all.mean(), all.largest,
        all.count, own.mean(), own.largest);
  }
}

// Layers that are widened once for several batches give the bits of those that each batch widens: in graphs,
// which two decode steps of all layers on the GPU become, where batches' layers interleave, with pieces of
// prompts and micro-batches, in looped stages and where prompts enter among new tokens.
TEST_P(GpuQuantized, LayersAreWidenedOnce) {
  using enum StorageFormat;
  for (const StorageFormat weights : {q4, q8}) {
    const Output alone = run({.gpu_batch_size = 1, .cuda = true}, weights, native);
    const auto expect_same = [&](Setting setting, const Output& expected) {
      setting.cuda = setting.keep_widened = true;
      setting.gpu_batch_size = 2;
      setting.gpu_batches = 2;
      const Output output = run(setting, weights, native);
      EXPECT_EQ(output.tokens, expected.tokens) << to_string(setting);
      EXPECT_EQ(output.logits, expected.logits) << to_string(setting);
    };
    for (const auto& percent : std::vector<std::vector<double>>{
             {100, 0, 100, 0, 100, 0}, {0, 100, 0, 100, 0, 100}, {0, 0, 100, 0, 100, 0}}) {
      for (const bool refill : {false, true}) expect_same({.percent = percent, .refill = refill}, alone);
      expect_same({.ranks = 2, .percent = percent, .prefill_pieces = 4}, alone);
    }
    if (model::load_config(golden_.model).layers >= 2)
      expect_same({.ranks = 2, .percent = {0, 100, 100, 0, 100, 0}, .chunk_layers = 1}, alone);
    Setting by_cores{.percent = {0, 100, 0, 100, 100, 0}, .attention = memory::AttentionPlace::cpu};
    Setting chunks = by_cores;
    chunks.cuda = true;
    expect_same(by_cores, run(chunks, weights, native));
  }
}

INSTANTIATE_TEST_SUITE_P(Fixtures, GpuQuantized, ::testing::ValuesIn(golden_names()),
                         [](const auto& fixture) { return identifier(fixture); });

}  // namespace
}  // namespace optpipe::test
