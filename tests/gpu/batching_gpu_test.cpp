// A prompt's tokens and logits on a GPU are the same bits alone, in batches of any size, in rounds and in
// continuous batching.
#include <gmock/gmock.h>

#include <tuple>

#include "support/golden.hpp"
#include "support/pipeline.hpp"

namespace optpipe::test {
namespace {

class GpuBatching : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (executor::cuda_devices() == 0)
      GTEST_SKIP() << "needs a GPU: run bash tests/run.sh --gpu on a machine that has one";
    golden_ = load_golden(GetParam());
    // Each prompt twice, and ragged outputs: sequences leave their batch one after another.
    for (std::size_t i = 0; i < 2 * golden_.prompts.size(); ++i) {
      prompts_.push_back(golden_.prompts[i % golden_.prompts.size()]);
      new_tokens_.push_back(static_cast<std::int64_t>(3 + 5 * i % 11));
    }
    alone_ = run({.gpu_batch_size = 1, .cuda = true});
  }

  Output run(const Setting& setting) const {
    return run_pipeline(golden_.model, setting, prompts_, new_tokens_);
  }

  void expect_same(const Setting& setting, const Output& alone) const {
    const Output output = run(setting);
    EXPECT_EQ(output.tokens, alone.tokens) << to_string(setting) << (setting.refill ? ", refill" : "");
    EXPECT_THAT(differing(output, alone), ::testing::IsEmpty())
        << "prompts, token steps: " << to_string(setting) << (setting.refill ? ", refill" : "");
  }
  void expect_same(const Setting& setting) const { expect_same(setting, alone_); }

  // Where logits differ.
  static std::vector<std::pair<std::int64_t, std::int64_t>> differing(const Output& a, const Output& b) {
    std::vector<std::pair<std::int64_t, std::int64_t>> places;
    for (const auto& [place, logits] : a.logits) {
      const auto other = b.logits.find(place);
      if (other == b.logits.end() || other->second != logits) places.push_back(place);
    }
    for (const auto& [place, logits] : b.logits)
      if (!a.logits.contains(place)) places.push_back(place);
    return places;
  }

  Golden golden_;
  std::vector<std::vector<std::int32_t>> prompts_;
  std::vector<std::int64_t> new_tokens_;
  Output alone_;
};

TEST_P(GpuBatching, BatchesOfAnySize) {
  for (const std::int64_t size : {2, 3, 5, 100})
    for (const std::int64_t batches : {1, 2})
      expect_same({.gpu_batch_size = size, .gpu_batches = batches, .cuda = true});
}

TEST_P(GpuBatching, ContinuousBatching) {
  for (const std::int64_t size : {1, 2, 4})
    for (const std::int64_t batches : {1, 2})
      expect_same({.gpu_batch_size = size, .gpu_batches = batches, .cuda = true, .refill = true});
}

// Decode as graphs whose rows are padded, over codes, over the X cache, and with the largest weights alone:
// sequences end one by one, others enter, batches are over.
TEST_P(GpuBatching, PaddedRowsOfEveryCache) {
  std::vector<Setting> kinds(4);
  kinds[0].kv_format = StorageFormat::q8;
  kinds[1].kv_format = StorageFormat::q4;
  kinds[2].attention_sparsity = 0.5;
  kinds[3].x_cache = true;
  for (Setting setting : kinds) {
    setting.cuda = true;
    setting.gpu_batch_size = 1;
    const Output alone = run(setting);
    for (const auto& [size, batches, refill] :
         {std::tuple(100, 1, false), {5, 2, false}, {3, 1, true}, {3, 3, true}}) {
      setting.gpu_batch_size = size;
      setting.gpu_batches = batches;
      setting.refill = refill;
      expect_same(setting, alone);
    }
  }
}

// Pieces of a tiny model's weights begin at addresses that not every product takes, so where weights lie may
// choose other products here; how many rows there are may not.
TEST_P(GpuBatching, WeightsFromTheHostInPieces) {
  const std::vector<double> percent{30, 70, 50, 50, 100, 0};
  const Output alone = run({.percent = percent, .gpu_batch_size = 1, .cuda = true});
  for (const bool refill : {false, true})
    expect_same({.percent = percent, .gpu_batch_size = 3, .cuda = true, .refill = refill}, alone);
}

// Decode waits for nothing but weights then, and a layer stands in another slot from step to step.
TEST_P(GpuBatching, StreamedWeightsAndAllElseOnTheGpu) {
  for (const std::int64_t batches : {2, 3})
    for (const bool refill : {false, true})
      expect_same({.percent = {0, 100, 100, 0, 100, 0},
                   .gpu_batch_size = 2,
                   .gpu_batches = batches,
                   .cuda = true,
                   .refill = refill});
}

INSTANTIATE_TEST_SUITE_P(Fixtures, GpuBatching, ::testing::ValuesIn(golden_names()),
                         [](const auto& fixture) { return identifier(fixture); });

}  // namespace
}  // namespace optpipe::test
