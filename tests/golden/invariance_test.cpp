// Placement must never change tokens. Logits are compared bit by bit, which is stricter: equal tokens could
// be luck.
#include <gmock/gmock.h>

#include "support/golden.hpp"
#include "support/pipeline.hpp"

namespace optpipe::test {
namespace {

const std::vector<std::vector<double>> kPercents{
    {100, 0, 100, 0, 100, 0}, {0, 100, 0, 100, 0, 100}, {0, 0, 0, 0, 0, 0},    {20, 80, 0, 100, 0, 100},
    {50, 25, 50, 25, 50, 25}, {33, 33, 10, 60, 70, 0},  {100, 0, 0, 50, 0, 0}, {0, 50, 100, 0, 100, 0}};

class Invariance : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    golden_ = load_golden(GetParam());
    // Ragged outputs as well as ragged prompts: sequences leave their batch one after another.
    for (std::size_t i = 0; i < golden_.prompts.size(); ++i)
      new_tokens_.push_back(static_cast<std::int64_t>(3 + 5 * i % 11));
    reference_ = run_pipeline(golden_.model, {.gpu_batch_size = 100}, golden_.prompts, new_tokens_);
    for (std::size_t i = 0; i < golden_.prompts.size(); ++i)
      ASSERT_EQ(reference_.tokens[i].size(), static_cast<std::size_t>(new_tokens_[i]));
  }

  // As many of the asked-for ranks as the model has layers.
  int at_most(int ranks) const {
    return std::min(ranks, static_cast<int>(model::load_config(golden_.model).layers));
  }

  void expect_same(Setting setting) {
    setting.ranks = at_most(setting.ranks);
    const Output output = run_pipeline(golden_.model, setting, golden_.prompts, new_tokens_);
    EXPECT_EQ(output.tokens, reference_.tokens) << to_string(setting);
    EXPECT_EQ(output.first_logits, reference_.first_logits) << to_string(setting);
    EXPECT_EQ(output.last_logits, reference_.last_logits) << to_string(setting);
  }

  Golden golden_;
  std::vector<std::int64_t> new_tokens_;
  Output reference_;
};

TEST_P(Invariance, AnyNumberOfRanks) {
  for (const int ranks : {2, 3, 5})
    for (const bool overlap : {true, false}) expect_same({.ranks = ranks, .overlap = overlap});
}

TEST_P(Invariance, AnyBatch) {
  for (const std::int64_t size : {1, 2, 3, 7})
    for (const std::int64_t batches : {1, 2, 4})
      for (const std::int64_t micro_batches : {1, 3})
        expect_same({.gpu_batch_size = size, .gpu_batches = batches, .micro_batches = micro_batches});
}

TEST_P(Invariance, AnyPercent) {
  for (const auto& percent : kPercents)
    for (const int ranks : {1, 3})
      for (const bool overlap : {true, false})
        expect_same(
            {.ranks = ranks, .percent = percent, .gpu_batch_size = 2, .gpu_batches = 2, .overlap = overlap});
}

// Chunks that divide evenly and others, as many micro-batches as ranks, fewer and more.
TEST_P(Invariance, LoopedStages) {
  for (const int ranks : {2, 3, 5})
    for (const std::int64_t chunk_layers : {1, 2})
      for (const std::int64_t micro_batches : {1, 0, 7})
        for (const auto& percent : {kPercents[0], kPercents[3], kPercents[4]}) {
          const auto layers = model::load_config(golden_.model).layers;
          if ((layers + chunk_layers - 1) / chunk_layers < ranks) continue;
          expect_same({.ranks = ranks,
                       .percent = percent,
                       .gpu_batch_size = 2,
                       .gpu_batches = 2,
                       .micro_batches = micro_batches,
                       .overlap = chunk_layers == 1,
                       .chunk_layers = chunk_layers});
        }
}

TEST_P(Invariance, AnyPlaceOfAttention) {
  for (const auto& percent : {kPercents[3], kPercents[4], kPercents[5]})
    for (const auto& [place, share] : {std::pair{memory::AttentionPlace::cpu, 0.0},
                                       {memory::AttentionPlace::split, 0.3},
                                       {memory::AttentionPlace::split, 0.8}})
      for (const std::int64_t batches : {1, 2, 4}) {
        Setting setting{.ranks = batches == 2 ? 3 : 1,
                        .percent = percent,
                        .gpu_batch_size = 2,
                        .gpu_batches = batches,
                        .overlap = batches != 1,
                        .threads = batches == 4 ? 2 : 1};
        setting.attention = place;
        setting.attention_share = share;
        expect_same(setting);
        if (batches == 2 && model::load_config(golden_.model).layers >= 3) {
          setting.chunk_layers = 1;
          expect_same(setting);
        }
      }
}

// Prompts that travel in pieces: GPU batches, parts of them, more pieces than prompts.
TEST_P(Invariance, AnyPiecesOfPrefill) {
  for (const int ranks : {1, 2, 3})
    for (const std::int64_t pieces : {2, 3, 7})
      for (const std::int64_t batches : {1, 3})
        for (const auto& percent : {kPercents[0], kPercents[2], kPercents[4]})
          expect_same({.ranks = ranks,
                       .percent = percent,
                       .gpu_batch_size = 3,
                       .gpu_batches = batches,
                       .overlap = pieces != 3,
                       .prefill_pieces = pieces});
  Setting others{.ranks = 3, .gpu_batch_size = 2, .prefill_pieces = 2};
  others.refill = true;
  expect_same(others);
  others.refill = false;
  others.chunk_layers = at_most(3) >= 3 ? 1 : 0;
  expect_same(others);
  others.percent = kPercents[3];
  others.attention = memory::AttentionPlace::split;
  others.attention_share = 0.4;
  expect_same(others);
}

// Sparse attention changes tokens, but not with the place.
TEST_P(Invariance, AnyPlaceOfSparseAttention) {
  Setting setting{.percent = kPercents[5], .gpu_batch_size = 2, .gpu_batches = 2};
  setting.attention_sparsity = 0.3;
  const auto reference = run_pipeline(golden_.model, setting, golden_.prompts, new_tokens_);
  EXPECT_NE(reference.last_logits, reference_.last_logits) << "everything counted";
  setting.attention = memory::AttentionPlace::split;
  const auto output = run_pipeline(golden_.model, setting, golden_.prompts, new_tokens_);
  EXPECT_EQ(output.tokens, reference.tokens);
  EXPECT_EQ(output.last_logits, reference.last_logits);
}

// Prompts that wait take the places of those that end, whatever the placement.
TEST_P(Invariance, ContinuousBatching) {
  for (const int ranks : {1, 2, 3})
    for (const std::int64_t size : {1, 2})
      for (const std::int64_t batches : {1, 2})
        for (const auto& percent : {kPercents[0], kPercents[2], kPercents[4]})
          expect_same({.ranks = ranks,
                       .percent = percent,
                       .gpu_batch_size = size,
                       .gpu_batches = batches,
                       .refill = true});
  const std::int64_t chunk_layers = at_most(3) >= 3 ? 1 : 0;
  for (const std::int64_t micro_batches : {1, 2, 4})
    expect_same({.ranks = 2,
                 .percent = kPercents[3],
                 .gpu_batch_size = 1,
                 .micro_batches = micro_batches,
                 .chunk_layers = chunk_layers,
                 .refill = true});
}

// Places that are taken one after another over more token steps than one program has.
TEST_P(Invariance, ContinuousBatchingOverSeveralPrograms) {
  std::vector<std::vector<std::int32_t>> prompts;
  std::vector<std::int64_t> new_tokens;
  for (std::size_t i = 0; i < 5; ++i) {
    prompts.push_back(golden_.prompts[i % golden_.prompts.size()]);
    new_tokens.push_back(static_cast<std::int64_t>(18 + 3 * i));
  }
  const auto reference = run_pipeline(golden_.model, {.gpu_batch_size = 5}, prompts, new_tokens);
  for (const int ranks : {1, 2}) {
    const Setting setting{
        .ranks = ranks, .percent = kPercents[4], .gpu_batch_size = 1, .micro_batches = 1, .refill = true};
    const auto output = run_pipeline(golden_.model, setting, prompts, new_tokens);
    EXPECT_EQ(output.tokens, reference.tokens) << to_string(setting);
    EXPECT_GE(output.timelines.size(), static_cast<std::size_t>(2 * ranks));
  }
}

TEST_P(Invariance, AnyNumberOfThreads) {
  for (const int threads : {2, 3}) expect_same({.ranks = 2, .percent = kPercents[4], .threads = threads});
}

TEST_P(Invariance, SampledTokensToo) {
  kernels::SamplingOptions sampling{
      .sample = true, .temperature = 0.8f, .top_k = 20, .top_p = 0.95f, .seed = 7};
  const auto reference = run_pipeline(golden_.model, {.sampling = sampling}, golden_.prompts, new_tokens_);
  EXPECT_NE(reference.tokens, reference_.tokens) << "nothing was drawn";
  for (const int ranks : {2, at_most(3)}) {
    const Setting setting{
        .ranks = ranks, .percent = kPercents[3], .gpu_batch_size = 1, .gpu_batches = 3, .sampling = sampling};
    EXPECT_EQ(run_pipeline(golden_.model, setting, golden_.prompts, new_tokens_).tokens, reference.tokens)
        << to_string(setting);
  }
}

// Sequences that end early leave the others as they are.
TEST_P(Invariance, EarlyEnds) {
  const std::int32_t eos = reference_.tokens[1][2];
  const auto truncated = [&](std::vector<std::int32_t> tokens) {
    const auto end = std::ranges::find(tokens, eos);
    if (end != tokens.end()) tokens.erase(end + 1, tokens.end());
    return tokens;
  };
  for (const int ranks : {1, at_most(3)}) {
    const auto output =
        run_pipeline(golden_.model, {.ranks = ranks, .percent = kPercents[4], .gpu_batch_size = 3},
                     golden_.prompts, new_tokens_, eos);
    for (std::size_t i = 0; i < golden_.prompts.size(); ++i)
      EXPECT_EQ(output.tokens[i], truncated(reference_.tokens[i])) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Fixtures, Invariance, ::testing::Values("pre-ln", "post-ln", "bf16"),
                         [](const auto& fixture) { return identifier(fixture); });

}  // namespace
}  // namespace optpipe::test
