#include <algorithm>
#include <cmath>
#include <limits>

#include "optpipe/kernels/cpu.hpp"
#include "unit/kernels_cuda/device.hpp"

namespace optpipe::kernels::cuda {
namespace {

using testing::Array;
using testing::Random;

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN(),
                kInfinity = std::numeric_limits<float>::infinity();

class Sampling : public testing::OnGpu {
 protected:
  struct Counts {
    int equal = 0, undecided = 0, settled = 0;
  };

  // Every row's token against the CPU's.
  Counts compare(const std::vector<float>& logits, std::int64_t vocabulary, std::int64_t stride,
                 const SamplingOptions& options) {
    const auto rows = static_cast<std::int64_t>(logits.size()) / stride;
    std::vector<Draw> draws;
    for (std::int64_t i = 0; i < rows; ++i)
      draws.push_back({static_cast<std::uint64_t>(i * 7), static_cast<std::uint64_t>(i % 3)});
    const Array<float> device_logits(logits);
    const Array<Draw> device_draws(draws);
    const auto tokens = Array<Token>::filled(rows, -77);
    sample(context(), device_logits.get(), rows, vocabulary, stride, options, device_draws.get(),
           tokens.get());
    const auto chosen = tokens.values();
    Counts counts;
    for (std::int64_t i = 0; i < rows; ++i) {
      const auto r = static_cast<std::size_t>(i);
      const Token wanted = sample_token(std::span(logits).subspan(static_cast<std::size_t>(i * stride),
                                                                  static_cast<std::size_t>(vocabulary)),
                                        options, draws[r].sequence, draws[r].step);
      if (chosen[r] == kUndecided) {
        ++counts.undecided;
        counts.settled +=
            settle(context(), device_logits.at(i * stride), vocabulary, options, draws[r]) == wanted;
      } else {
        EXPECT_EQ(chosen[r], wanted) << "row " << i;
        ++counts.equal;
      }
    }
    EXPECT_EQ(counts.settled, counts.undecided);
    return counts;
  }

  std::vector<Token> largest(const std::vector<float>& logits, std::int64_t vocabulary, std::int64_t stride) {
    const auto rows = static_cast<std::int64_t>(logits.size()) / stride;
    const Array<float> device_logits(logits);
    const auto tokens = Array<Token>::filled(rows, -77);
    argmax(context(), device_logits.get(), rows, vocabulary, stride, tokens.get());
    return tokens.values();
  }
};

TEST_F(Sampling, ArgmaxEqualsTheCpus) {
  for (const std::int64_t vocabulary : {1, 2, 31, 1000, 4097, 50272}) {
    const std::int64_t rows = 9, stride = vocabulary + 3;
    auto logits = random.floats(rows * stride);
    for (float& logit : logits) logit = std::round(logit * 8) / 8;  // many are equal
    const auto tokens = largest(logits, vocabulary, stride);
    for (std::int64_t r = 0; r < rows; ++r)
      EXPECT_EQ(tokens[static_cast<std::size_t>(r)], kernels::argmax(logits.data() + r * stride, vocabulary))
          << "vocabulary " << vocabulary;
  }
}

TEST_F(Sampling, ArgmaxOfNaNsAndInfinities) {
  const std::vector<std::vector<float>> rows = {
      {kNaN, 1, 2, 2},          {kNaN, kNaN, kNaN, kNaN},        {-kInfinity, -kInfinity, kNaN, -kInfinity},
      {kNaN, -kInfinity, 0, 0}, {1, kInfinity, kNaN, kInfinity}, {-0.0f, 0.0f, -1, -2}};
  for (const auto& row : rows)
    EXPECT_EQ(largest(row, 4, 4), std::vector<Token>{static_cast<Token>(kernels::argmax(row.data(), 4))});
}

const SamplingOptions kOptions[] = {
    {.sample = true, .seed = 1},
    {.sample = true, .temperature = 0.7f, .seed = 2},
    {.sample = true, .top_k = 1, .seed = 3},
    {.sample = true, .temperature = 1.3f, .top_k = 50, .seed = 4},
    {.sample = true, .top_p = 0.9f, .seed = 5},
    {.sample = true, .temperature = 2, .top_k = 300, .top_p = 0.6f, .seed = 6},
    {.sample = true, .top_p = 1e-6f, .seed = 7},
    {.sample = true, .temperature = 0.01f, .top_k = 100000, .top_p = 0.999f, .seed = 8},
    {.sample = false, .top_k = 5, .seed = 9},
};

TEST_F(Sampling, TokensAreTheCpus) {
  for (const SamplingOptions& options : kOptions) {
    for (const std::int64_t vocabulary : {5, 1000, 50272}) {
      SCOPED_TRACE(::testing::Message() << "seed " << options.seed << " vocabulary " << vocabulary);
      const std::int64_t rows = vocabulary > 10000 ? 24 : 200, stride = vocabulary + 1;
      const Counts counts = compare(random.floats(rows * stride, 3), vocabulary, stride, options);
      EXPECT_LE(counts.undecided, 1);
    }
  }
}

// Most logits equal others: where sets and draws end among them, the order of tokens decides.
TEST_F(Sampling, TokensAreTheCpusWithManyEqualLogits) {
  for (const SamplingOptions& options : kOptions) {
    SCOPED_TRACE(::testing::Message() << "seed " << options.seed);
    auto logits = random.floats(std::int64_t{200} * 1000, 3);
    for (float& logit : logits) logit = std::round(logit);
    compare(logits, 1000, 1000, options);
  }
}

TEST_F(Sampling, NaNsAndInfinitiesAreTheCpus) {
  std::vector<float> logits = random.floats(60 * 40, 2);
  for (std::size_t i = 0; i < logits.size(); i += 3) logits[i] = kNaN;
  for (std::size_t i = 1; i < logits.size(); i += 7) logits[i] = -kInfinity;
  for (std::size_t i = 0; i < 80; ++i) logits[i] = i < 40 ? kNaN : -kInfinity;  // two rows of nothing
  logits[100] = kInfinity;
  for (const SamplingOptions& options : kOptions) {
    SCOPED_TRACE(::testing::Message() << "seed " << options.seed);
    compare(logits, 40, 40, options);
  }
}

// Exactly on a border the GPU must not guess.
TEST_F(Sampling, BordersAreLeftToTheCpu) {
  const std::vector<float> equal(64 * 30, 1.5f);
  const Counts counts = compare(equal, 64, 64, {.sample = true, .top_p = 0.5f, .seed = 1});
  EXPECT_EQ(counts.undecided, 30);
}

}  // namespace
}  // namespace optpipe::kernels::cuda
