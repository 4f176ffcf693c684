// The whole model against Hugging Face transformers.
#include "support/golden.hpp"

#include <gmock/gmock.h>

#include <cmath>

#include "support/pipeline.hpp"

namespace optpipe::test {
namespace {

class GoldenTest : public ::testing::TestWithParam<std::string> {};

double relative_error(const std::vector<float>& values, const std::vector<float>& expected) {
  double difference = 0, norm = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    difference += std::pow(values[i] - expected[i], 2);
    norm += std::pow(expected[i], 2);
  }
  return std::sqrt(difference / norm);
}

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

std::string identifier(const ::testing::TestParamInfo<std::string>& info) {
  std::string name = info.param;
  std::ranges::replace(name, '-', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Fixtures, GoldenTest, ::testing::ValuesIn(golden_names()), identifier);

}  // namespace
}  // namespace optpipe::test
