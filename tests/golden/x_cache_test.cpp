// The X cache: what transformers computes, the same bits wherever it lies, and close to what cached keys and
// values give (docs/x-cache.md states the bounds).
#include <gmock/gmock.h>

#include "support/golden.hpp"
#include "support/pipeline.hpp"

namespace optpipe::test {
namespace {

const std::vector<std::vector<double>> kPercents{{0, 100, 0, 100, 0, 100}, {0, 0, 0, 0, 0, 0},
                                                 {20, 80, 0, 100, 0, 100}, {50, 25, 50, 25, 50, 25},
                                                 {33, 33, 10, 60, 70, 0},  {100, 0, 0, 50, 0, 0}};

class XCache : public ::testing::TestWithParam<std::string> {
 protected:
  Output run(Setting setting, const std::vector<std::int64_t>& new_tokens) const {
    setting.x_cache = true;
    return run_pipeline(golden_.model, setting, golden_.prompts, new_tokens);
  }
  int at_most(int ranks) const {
    return std::min(ranks, static_cast<int>(model::load_config(golden_.model).layers));
  }

  Golden golden_ = load_golden(GetParam());
};

TEST_P(XCache, SameGreedyTokens) {
  const Output output = run({.gpu_batch_size = 3, .gpu_batches = 2}, golden_.new_tokens());
  for (std::size_t i = 0; i < golden_.prompts.size(); ++i)
    EXPECT_EQ(output.tokens[i], golden_.tokens[i]) << "prompt " << i;
}

// The bound of GoldenTest, which keys and values keep to as well.
TEST_P(XCache, FirstLogitsWithinTwoPerMille) {
  const std::vector<std::int64_t> one(golden_.prompts.size(), 1);
  const Output output = run({.ranks = at_most(2)}, one);
  for (std::size_t i = 0; i < golden_.prompts.size(); ++i)
    EXPECT_LT(relative_error(output.first_logits.at(static_cast<std::int64_t>(i)), golden_.first_logits[i]),
              2e-3)
        << "prompt " << i;
}

// Every logit of every token, also those whose keys and values were never computed: of two roundings to fp16,
// one of X and one of keys and values, each within that bound.
TEST_P(XCache, LogitsAreThoseOfKeysAndValues) {
  const Output keys = run_pipeline(golden_.model, {}, golden_.prompts, golden_.new_tokens());
  const Output x = run({}, golden_.new_tokens());
  ASSERT_EQ(x.logits.size(), keys.logits.size());
  double prompts = 0, new_tokens = 0;
  for (const auto& [at, logits] : keys.logits) {
    double& largest = at.second == 0 ? prompts : new_tokens;
    largest = std::max(largest, relative_error(x.logits.at(at), logits));
  }
  std::printf("%-20s logits with X beside keys and values: prompts %.2e, new tokens %.2e\n",
              GetParam().c_str(), prompts, new_tokens);
  EXPECT_GT(new_tokens, 0) << "the X cache was not used";
  EXPECT_LT(prompts, 2e-3);
  EXPECT_LT(new_tokens, 2e-3);
}

TEST_P(XCache, PlacementChangesNothing) {
  std::vector<std::int64_t> new_tokens;
  for (std::size_t i = 0; i < golden_.prompts.size(); ++i)
    new_tokens.push_back(static_cast<std::int64_t>(3 + 5 * i % 11));
  const Output reference = run({.gpu_batch_size = 100}, new_tokens);
  const auto expect_same = [&](const Setting& setting) {
    const Output output = run(setting, new_tokens);
    EXPECT_EQ(output.tokens, reference.tokens) << to_string(setting);
    EXPECT_EQ(output.logits, reference.logits) << to_string(setting);
  };
  for (const auto& percent : kPercents) {
    expect_same({.percent = percent, .gpu_batch_size = 2, .gpu_batches = 2});
    expect_same({.ranks = at_most(3),
                 .percent = percent,
                 .gpu_batch_size = 3,
                 .micro_batches = 2,
                 .overlap = false,
                 .threads = 2});
  }
  expect_same({.ranks = at_most(2),
               .percent = kPercents[3],
               .gpu_batch_size = 3,
               .gpu_batches = 2,
               .prefill_pieces = 5});
  const auto layers = model::load_config(golden_.model).layers;
  if (layers >= 2)
    expect_same(
        {.ranks = 2, .percent = kPercents[3], .gpu_batch_size = 2, .gpu_batches = 2, .chunk_layers = 1});
  expect_same({.percent = kPercents[3], .gpu_batch_size = 1, .gpu_batches = 2, .refill = true});
}

TEST_P(XCache, GoesWithQuantizedWeights) {
  const std::vector<std::int64_t> few(golden_.prompts.size(), 4);
  for (const StorageFormat format : {StorageFormat::q8, StorageFormat::q4}) {
    const auto keys =
        run_pipeline(golden_.model, {.weight_format = format}, golden_.prompts, few).last_logits;
    const auto reference = run({.weight_format = format}, few).last_logits;
    const auto elsewhere = run({.percent = kPercents[4], .gpu_batch_size = 2, .weight_format = format}, few);
    EXPECT_EQ(elsewhere.last_logits, reference);
    for (const auto& [prompt, logits] : keys)
      EXPECT_LT(relative_error(reference.at(prompt), logits), 2e-3) << name_of(format);
  }
}

INSTANTIATE_TEST_SUITE_P(Fixtures, XCache, ::testing::ValuesIn(golden_names()),
                         [](const auto& fixture) { return identifier(fixture); });

}  // namespace
}  // namespace optpipe::test
