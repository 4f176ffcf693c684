// The X cache on a GPU against the CPU executor's: logits of every token step, as long as both have chosen
// the same tokens. What is stored and what is computed are rounded to fp16 on the GPU alone: noise as with
// keys and values, whose bound this has.
#include <gmock/gmock.h>

#include "gpu/logit_errors.hpp"

namespace optpipe::test {
namespace {

class GpuXCache : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (executor::cuda_devices() == 0)
      GTEST_SKIP() << "needs a GPU: run bash tests/run.sh --gpu on a machine that has one";
    golden_ = load_golden(GetParam());
  }

  Output run(Setting setting) const {
    setting.x_cache = true;
    return run_pipeline(golden_.model, setting, golden_.prompts, golden_.new_tokens());
  }
  void expect_near(const Setting& setting, const Output& cpu) const {
    const Errors errors = errors_between(run(setting), cpu);
    EXPECT_GE(errors.count, static_cast<int>(golden_.prompts.size()));
    EXPECT_LT(errors.largest, kNoise) << to_string(setting);
    std::printf("%-20s %3d tokens, logits off by %.2e at most, %.2e on average\n", GetParam().c_str(),
                errors.count, errors.largest, errors.mean());
  }

  Golden golden_;
};

TEST_P(GpuXCache, LogitsAreTheCpus) {
  const Output cpu = run({.gpu_batch_size = 4});
  for (const auto& percent : std::vector<std::vector<double>>{{100, 0, 100, 0, 100, 0},  // decode as a graph
                                                              {20, 80, 0, 100, 0, 100},
                                                              {0, 0, 0, 0, 0, 0},
                                                              {33, 33, 10, 60, 70, 0}})
    for (const int ranks : {1, 2})
      expect_near({.ranks = ranks, .percent = percent, .gpu_batch_size = 2, .gpu_batches = 2, .cuda = true},
                  cpu);
}

// Prompts that enter batches of new tokens, and looped stages.
TEST_P(GpuXCache, LogitsAreTheCpusWhereRowsAreMixed) {
  const Output cpu = run({.gpu_batch_size = 4});
  expect_near({.percent = {20, 80, 0, 100, 100, 0}, .gpu_batch_size = 2, .cuda = true, .refill = true}, cpu);
  if (model::load_config(golden_.model).layers >= 2)
    expect_near({.ranks = 2,
                 .percent = {0, 100, 50, 50, 100, 0},
                 .gpu_batch_size = 2,
                 .gpu_batches = 2,
                 .cuda = true,
                 .chunk_layers = 1},
                cpu);
}

TEST_P(GpuXCache, GoesWithQuantizedWeights) {
  for (const StorageFormat format : {StorageFormat::q8, StorageFormat::q4}) {
    Setting setting{.percent = {20, 80, 0, 100, 0, 100},
                    .gpu_batch_size = 2,
                    .gpu_batches = 2,
                    .cuda = true,
                    .weight_format = format};
    const Output cpu = run({.gpu_batch_size = 4, .weight_format = format});
    for (const bool keep : {false, true}) {
      setting.keep_widened = keep;
      expect_near(setting, cpu);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Fixtures, GpuXCache,
                         ::testing::Values("pre-ln", "post-ln", "head-dim-80", "head-dim-64", "gelu-nobias"),
                         [](const auto& fixture) { return identifier(fixture); });

}  // namespace
}  // namespace optpipe::test
