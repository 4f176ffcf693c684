// The whole model against Hugging Face transformers.
#include "support/golden.hpp"

#include <gmock/gmock.h>

#include "support/pipeline.hpp"

namespace optpipe::test {
namespace {

class GoldenTest : public ::testing::TestWithParam<std::string> {};

TEST_P(GoldenTest, SameGreedyTokens) {
  const Golden golden = load_golden(GetParam());
  const Output output = run_pipeline(golden.model, {.gpu_batch_size = 3, .gpu_batches = 2}, golden.prompts,
                                     golden.new_tokens());
  for (std::size_t i = 0; i < golden.prompts.size(); ++i)
    EXPECT_EQ(output.tokens[i], golden.tokens[i]) << "prompt " << i;
}

TEST_P(GoldenTest, FirstLogitsWithinTwoPerMille) {
  const Golden golden = load_golden(GetParam());
  const std::vector<std::int64_t> one(golden.prompts.size(), 1);
  const Output output = run_pipeline(golden.model, {.ranks = 2}, golden.prompts, one);
  ASSERT_EQ(output.first_logits.size(), golden.prompts.size());
  for (std::size_t i = 0; i < golden.prompts.size(); ++i) {
    const auto& logits = output.first_logits.at(static_cast<std::int64_t>(i));
    ASSERT_EQ(logits.size(), golden.first_logits[i].size());
    EXPECT_LT(relative_error(logits, golden.first_logits[i]), 2e-3) << "prompt " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Fixtures, GoldenTest, ::testing::ValuesIn(golden_names()),
                         [](const auto& fixture) { return identifier(fixture); });

}  // namespace
}  // namespace optpipe::test
