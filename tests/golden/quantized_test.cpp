// Quantized weights and keys and values: the same bits wherever they lie, and close to what the full formats
// give.
#include <gmock/gmock.h>

#include <cmath>

#include "support/golden.hpp"
#include "support/pipeline.hpp"

namespace optpipe::test {
namespace {

struct Formats {
  StorageFormat weights, kv;
};
const std::vector<Formats> kFormats{{StorageFormat::q4, StorageFormat::q4},
                                    {StorageFormat::q8, StorageFormat::q4},
                                    {StorageFormat::native, StorageFormat::q8},
                                    {StorageFormat::q4, StorageFormat::native}};

const std::vector<std::vector<double>> kPercents{
    {0, 100, 0, 100, 0, 100}, {0, 0, 0, 0, 0, 0}, {20, 80, 0, 100, 0, 100}, {33, 33, 10, 60, 70, 0}};

class Quantized : public ::testing::TestWithParam<std::string> {};

TEST_P(Quantized, PlacementChangesNothing) {
  const Golden golden = load_golden(GetParam());
  std::vector<std::int64_t> new_tokens;
  for (std::size_t i = 0; i < golden.prompts.size(); ++i)
    new_tokens.push_back(static_cast<std::int64_t>(3 + 5 * i % 11));
  const auto layers = static_cast<int>(model::load_config(golden.model).layers);
  for (const auto& [weights, kv] : kFormats) {
    const auto run = [&](Setting setting) {
      setting.weight_format = weights;
      setting.kv_format = kv;
      return run_pipeline(golden.model, setting, golden.prompts, new_tokens);
    };
    const Output reference = run({.gpu_batch_size = 100});
    for (const auto& percent : kPercents)
      for (const Setting& setting : {Setting{.percent = percent, .gpu_batch_size = 2, .gpu_batches = 2},
                                     Setting{.ranks = std::min(3, layers),
                                     .percent = percent,
                                     .gpu_batch_size = 3,
                                     .micro_batches = 2,
                                     .threads = 2}}) {
        const Output output = run(setting);
        EXPECT_EQ(output.tokens, reference.tokens) << to_string(setting);
        EXPECT_EQ(output.first_logits, reference.first_logits) << to_string(setting);
      }
  }
}

// Relative errors of the logits of prompts' last positions, largest over prompts, and their root mean square.
// Fixtures have random weights, for which groups of 64 are spread evenly: the error of a 4-bit number is some
// 10 % of its own size, of an 8-bit number 0.6 %.
TEST_P(Quantized, LogitsAreCloseToThoseOfTheFullFormat) {
  const Golden golden = load_golden(GetParam());
  const std::vector<std::int64_t> one(golden.prompts.size(), 1);
  double typical = 0;  // of the last run
  const auto error = [&](StorageFormat weights, StorageFormat kv) {
    const Output output =
        run_pipeline(golden.model, {.weight_format = weights, .kv_format = kv}, golden.prompts, one);
    double largest = 0, squares = 0;
    for (std::size_t i = 0; i < golden.prompts.size(); ++i) {
      const double own =
          relative_error(output.first_logits.at(static_cast<std::int64_t>(i)), golden.first_logits[i]);
      largest = std::max(largest, own);
      squares += own * own;
    }
    typical = std::sqrt(squares / static_cast<double>(golden.prompts.size()));
    return largest;
  };
  using enum StorageFormat;
  const double w8 = error(q8, native), w4 = error(q4, native), kv8 = error(native, q8),
               kv4 = error(native, q4), both4 = error(q4, q4), both8 = error(q8, q8);
  RecordProperty("relative_error_of_logits",
                 ::testing::PrintToString(std::vector{w8, w4, kv8, kv4, both8, both4}));
  std::printf("%-20s weights 8bit %.4f 4bit %.4f, KV 8bit %.4f 4bit %.4f, both 8bit %.4f 4bit %.4f\n",
              GetParam().c_str(), w8, w4, kv8, kv4, both8, both4);
  std::printf("both 8bit, root mean square over %zu prompts: %.4f\n", golden.prompts.size(), typical);
  // The largest is one prompt's: numbers near the border of two codes take either with the last bits of
  // products, which differ between machines (cores with AMX round a prompt's products otherwise).
  EXPECT_LT(typical, 0.015);
  EXPECT_LT(both8, 0.03);
  EXPECT_LT(both4, 0.35);
  EXPECT_GT(w4, w8) << "4 bits ought to cost more than 8";
}

INSTANTIATE_TEST_SUITE_P(Fixtures, Quantized, ::testing::Values("pre-ln", "post-ln", "bf16", "head-dim-80"),
                         [](const auto& fixture) { return identifier(fixture); });

}  // namespace
}  // namespace optpipe::test
