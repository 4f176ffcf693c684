#include "optpipe/kernels/sampling.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>

#include "kernels/cpu/philox.hpp"
#include "optpipe/base/error.hpp"
#include "unit/kernels/support.hpp"

namespace optpipe::kernels {
namespace {

// The vectors published with the generator (Random123, kat_vectors).
TEST(Philox, GivesThePublishedNumbers) {
  EXPECT_EQ(philox4x32_10({0, 0, 0, 0}, {0, 0}),
            (PhiloxCounter{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox4x32_10({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}),
            (PhiloxCounter{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32_10({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (PhiloxCounter{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

// Probabilities by a full sort in double: temperature, top-k with ties, top-p.
std::vector<double> probabilities(const std::vector<float>& logits, const SamplingOptions& options) {
  std::vector<std::size_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return logits[a] > logits[b]; });
  std::size_t kept = order.size();
  if (options.top_k > 0 && static_cast<std::size_t>(options.top_k) < kept)
    for (kept = static_cast<std::size_t>(options.top_k);
         kept < order.size() && logits[order[kept]] == logits[order[kept - 1]];)
      ++kept;
  std::vector<double> result(logits.size(), 0);
  const auto normalize = [&] {
    double total = 0;
    for (const double value : result) total += value;
    for (double& value : result) value /= total;
  };
  for (std::size_t i = 0; i < kept; ++i)
    result[order[i]] = std::exp(static_cast<double>(logits[order[i]]) / options.temperature);
  normalize();
  double held = 0;
  for (const std::size_t token : order) {
    if (held >= options.top_p) result[token] = 0;
    held += result[token];
  }
  normalize();
  return result;
}

// Pearson's statistic of `draws` tokens; infinity if an impossible one was drawn.
double chi_square(const std::vector<float>& logits, const SamplingOptions& options, int draws) {
  std::vector<int> counts(logits.size(), 0);
  for (int i = 0; i < draws; ++i)
    ++counts[static_cast<std::size_t>(sample_token(logits, options, static_cast<std::uint64_t>(i) / 100,
                                                   static_cast<std::uint64_t>(i) % 100))];
  double sum = 0;
  const auto exact = probabilities(logits, options);
  for (std::size_t i = 0; i < counts.size(); ++i) {
    if (exact[i] == 0 && counts[i] > 0) return INFINITY;
    if (exact[i] > 0) sum += std::pow(counts[i] - draws * exact[i], 2) / (draws * exact[i]);
  }
  return sum;
}

TEST(Sampling, DrawsWithTheExactProbabilities) {
  const auto logits = testing::Random(10).floats(20, 1.0f);
  // At most 19 degrees of freedom: the statistic exceeds 43.8 with probability 0.001.
  const double bound = 43.8;
  EXPECT_LT(chi_square(logits, {.sample = true, .seed = 1}, 20000), bound);
  EXPECT_LT(chi_square(logits, {.sample = true, .temperature = 0.6f, .seed = 2}, 20000), bound);
  EXPECT_LT(chi_square(logits, {.sample = true, .temperature = 2, .top_k = 7, .seed = 3}, 20000), bound);
  EXPECT_LT(chi_square(logits, {.sample = true, .top_p = 0.8f, .seed = 4}, 20000), bound);
  EXPECT_LT(chi_square(logits, {.sample = true, .top_k = 9, .top_p = 0.7f, .seed = 5}, 20000), bound);
}

TEST(Sampling, ReachesExactlyTheTokensAllowed) {
  for (const std::int64_t top_k : {0, 1, 3, 300, 2000})
    for (const float top_p : {0.05f, 0.5f, 0.999f, 1.0f}) {
      auto logits = testing::Random(11).floats(1000, 0.3f);
      std::fill_n(logits.begin() + 500, 4, 3.0f);  // a tie at the top
      const SamplingOptions options{.sample = true, .top_k = top_k, .top_p = top_p, .seed = 6};
      const auto exact = probabilities(logits, options);
      std::set<Token> allowed, drawn;
      for (std::size_t i = 0; i < exact.size(); ++i)
        if (exact[i] > 0) allowed.insert(static_cast<Token>(i));
      for (std::uint64_t step = 0; step < 2000; ++step) drawn.insert(sample_token(logits, options, 0, step));
      EXPECT_TRUE(std::includes(allowed.begin(), allowed.end(), drawn.begin(), drawn.end()))
          << "top-k " << top_k << ", top-p " << top_p;
      if (allowed.size() <= 10) {
        EXPECT_EQ(drawn, allowed) << "top-k " << top_k << ", top-p " << top_p;
      }
    }
}

TEST(Sampling, KeepsTiesAtTheThresholdOfTopK) {
  const std::vector<float> logits{1, 5, 3, 3, 3, 0};
  std::set<Token> drawn;
  for (std::uint64_t step = 0; step < 500; ++step)
    drawn.insert(sample_token(logits, {.sample = true, .top_k = 2, .seed = 7}, 0, step));
  EXPECT_EQ(drawn, (std::set<Token>{1, 2, 3, 4}));
}

TEST(Sampling, DependsOnSeedSequenceAndStepAlone) {
  const auto logits = testing::Random(12).floats(5000);
  const SamplingOptions options{.sample = true, .seed = 8};
  std::map<std::pair<std::uint64_t, std::uint64_t>, Token> first;
  for (std::uint64_t sequence = 0; sequence < 10; ++sequence)
    for (std::uint64_t step = 0; step < 10; ++step)
      first[{sequence, step}] = sample_token(logits, options, sequence, step);
  std::set<Token> distinct;
  for (auto it = first.rbegin(); it != first.rend(); ++it) {
    EXPECT_EQ(sample_token(logits, options, it->first.first, it->first.second), it->second);
    distinct.insert(it->second);
  }
  EXPECT_GT(distinct.size(), 80u);
  SamplingOptions other = options;
  other.seed = 9;
  int changed = 0;
  for (const auto& [key, token] : first)
    changed += sample_token(logits, other, key.first, key.second) != token;
  EXPECT_GT(changed, 90);
}

TEST(Sampling, IsGreedyUnlessAsked) {
  const std::vector<float> logits{1, 4, 4, 2};
  EXPECT_EQ(sample_token(logits, {.temperature = 9, .top_k = 3}, 1, 2), 1);
}

TEST(Sampling, NeverDrawsWhatIsNoNumberOrImpossible) {
  const float nan = testing::kPoison, infinity = std::numeric_limits<float>::infinity();
  const std::vector<float> logits{nan, 1, -infinity, 1, nan};
  for (std::uint64_t step = 0; step < 200; ++step) {
    const Token token = sample_token(logits, {.sample = true, .top_p = 0.99f}, 0, step);
    EXPECT_TRUE(token == 1 || token == 3) << token;
  }
  const std::vector<float> none(3, nan), sure{0, infinity, 0};
  EXPECT_EQ(sample_token(none, {.sample = true}, 0, 0), 0);
  EXPECT_EQ(sample_token(sure, {.sample = true}, 0, 0), 1);
}

TEST(Sampling, RefusesOptionsOutOfRange) {
  EXPECT_NO_THROW(check({.sample = true, .temperature = 0.1f, .top_k = 5, .top_p = 0.5f}));
  for (const float temperature : {0.0f, -1.0f, INFINITY, NAN})
    EXPECT_THROW(check({.temperature = temperature}), UsageError) << temperature;
  EXPECT_THROW(check({.top_k = -1}), UsageError);
  for (const float top_p : {0.0f, -0.5f, 1.5f, NAN})
    EXPECT_THROW(check({.top_p = top_p}), UsageError) << top_p;
}

}  // namespace
}  // namespace optpipe::kernels
