// The CUDA executor against Hugging Face transformers and against itself on other placements.
//
// The GPU stores activations in fp16, so logits carry its noise, and a token is compared only as far as its
// margin (top-1 over top-2, recorded with the golden) is beyond that noise; what is left out is counted and
// said.
#include <gmock/gmock.h>

#include "support/golden.hpp"
#include "support/pipeline.hpp"

namespace optpipe::test {
namespace {

class GpuGolden : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (executor::cuda_devices() == 0)
      GTEST_SKIP() << "needs a GPU: run bash tests/run.sh --gpu on a machine that has one";
  }
};

TEST_P(GpuGolden, FirstLogitsWithinFp16Noise) {
  const Golden golden = load_golden(GetParam());
  const std::vector<std::int64_t> one(golden.prompts.size(), 1);
  const Output output = run_pipeline(golden.model, {.cuda = true}, golden.prompts, one);
  ASSERT_EQ(output.first_logits.size(), golden.prompts.size());
  for (std::size_t i = 0; i < golden.prompts.size(); ++i)
    EXPECT_LT(relative_error(output.first_logits.at(static_cast<std::int64_t>(i)), golden.first_logits[i]),
              5e-3)
        << "prompt " << i;
}

void expect_golden_tokens(const Golden& golden, const Output& output, const std::string& setting) {
  // Errors of single logits reach several times their mean.
  constexpr double kNoise = 0.03;
  int compared = 0, all = 0;
  for (std::size_t i = 0; i < golden.prompts.size(); ++i) {
    const double spread = golden.logit_spread(i);
    for (std::size_t t = 0; t < golden.tokens[i].size(); ++t, ++compared) {
      const bool same = output.tokens[i][t] == golden.tokens[i][t];
      const bool clear = golden.margins[i][t] > kNoise * spread;
      EXPECT_TRUE(same || !clear) << setting << ": prompt " << i << ", token " << t << ", margin "
                                  << golden.margins[i][t] << " of spread " << spread;
      if (!same) break;  // what follows has another history
    }
    all += static_cast<int>(golden.tokens[i].size());
  }
  if (compared < all)
    std::printf("%s: %d of %d tokens compared; the rest follows a margin below fp16 noise\n", setting.c_str(),
                compared, all);
}

TEST_P(GpuGolden, SameGreedyTokensWhereTheMarginIsBeyondFp16Noise) {
  const Golden golden = load_golden(GetParam());
  const Setting setting{.gpu_batch_size = 3, .gpu_batches = 2, .cuda = true};
  expect_golden_tokens(golden, run_pipeline(golden.model, setting, golden.prompts, golden.new_tokens()),
                       to_string(setting));
}

TEST_P(GpuGolden, SameGreedyTokensWithAttentionOnCpuCores) {
  const Golden golden = load_golden(GetParam());
  for (const auto& [place, share] :
       {std::pair{memory::AttentionPlace::cpu, 1.0}, {memory::AttentionPlace::split, 0.4}})
    for (const std::int64_t batches : {1, 3})
      for (const bool overlap : {true, false}) {
        Setting setting{.ranks = batches == 3 ? 2 : 1,
                        .percent = {20, 80, batches == 3 ? 30.0 : 0.0, 70, 0, 100},
                        .gpu_batch_size = 2,
                        .gpu_batches = batches,
                        .overlap = overlap,
                        .threads = 2,
                        .cuda = true};
        setting.attention = place;
        setting.attention_share = share;
        const auto output = run_pipeline(golden.model, setting, golden.prompts, golden.new_tokens());
        expect_golden_tokens(golden, output, to_string(setting));
        const auto again = run_pipeline(golden.model, setting, golden.prompts, golden.new_tokens());
        EXPECT_EQ(again.tokens, output.tokens) << to_string(setting);
      }
}

// Where weights, keys, values and activations lie, and in how many stages, changes no token.
TEST_P(GpuGolden, PlacementChangesNoToken) {
  const Golden golden = load_golden(GetParam());
  const auto reference =
      run_pipeline(golden.model, {.gpu_batch_size = 4, .cuda = true}, golden.prompts, golden.new_tokens());
  for (const auto& percent : std::vector<std::vector<double>>{{0, 100, 0, 100, 0, 100},
                                                              {0, 0, 0, 0, 0, 0},
                                                              {20, 80, 0, 100, 0, 100},
                                                              {100, 0, 0, 100, 100, 0},
                                                              {0, 50, 100, 0, 50, 0}}) {
    for (const int ranks : {1, 2}) {
      for (const bool overlap : {true, false}) {
        const Setting setting{
            .ranks = ranks, .percent = percent, .gpu_batch_size = 4, .overlap = overlap, .cuda = true};
        const auto output = run_pipeline(golden.model, setting, golden.prompts, golden.new_tokens());
        EXPECT_EQ(output.tokens, reference.tokens) << to_string(setting);
      }
    }
  }
}

TEST_P(GpuGolden, SameGreedyTokensWithPrefillInPieces) {
  const Golden golden = load_golden(GetParam());
  for (const int ranks : {1, 2})
    for (const std::int64_t batches : {1, 3})
      for (const std::int64_t pieces : {2, 3, 7})
        for (const auto& percent :
             std::vector<std::vector<double>>{{100, 0, 100, 0, 100, 0}, {20, 80, 30, 40, 0, 100}}) {
          const Setting setting{.ranks = ranks,
                                .percent = percent,
                                .gpu_batch_size = 3,
                                .gpu_batches = batches,
                                .cuda = true,
                                .prefill_pieces = pieces};
          expect_golden_tokens(golden,
                               run_pipeline(golden.model, setting, golden.prompts, golden.new_tokens()),
                               to_string(setting));
        }
}

INSTANTIATE_TEST_SUITE_P(Fixtures, GpuGolden, ::testing::ValuesIn(golden_names()),
                         [](const auto& fixture) { return identifier(fixture); });

}  // namespace
}  // namespace optpipe::test
