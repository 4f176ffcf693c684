#include "optpipe/metrics/projection.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>
#include <random>

namespace optpipe::metrics {
namespace {

constexpr std::int64_t kPrompt = 512, kNew = 32;

double line(double a, double b, std::int64_t step, std::int64_t prompt = kPrompt) {
  return a + b * static_cast<double>(prompt + step);
}

std::vector<double> steps(double a, double b, std::int64_t count, std::int64_t prompt = kPrompt) {
  std::vector<double> seconds;
  for (std::int64_t t = 1; t <= count; ++t) seconds.push_back(line(a, b, t, prompt));
  return seconds;
}

double sum(const std::vector<double>& seconds) {
  return std::accumulate(seconds.begin(), seconds.end(), 0.0);
}

TEST(Projection, IsExactOnALineForEveryCutFromThreeUp) {
  for (const double b : {0.0, 1e-6, 1e-3, 0.01})
    for (const double a : {0.0, 0.05, 2.5}) {
      const double whole = sum(steps(a, b, kNew - 1));
      for (std::int64_t cut = 3; cut <= kNew; ++cut) {
        const auto p = project_decode({steps(a, b, cut - 1), kPrompt, kNew});
        ASSERT_TRUE(p);
        EXPECT_NEAR(p->decode_s, whole, 1e-9 * (1 + whole)) << "a " << a << " b " << b << " cut " << cut;
        EXPECT_LE(p->low_s, p->decode_s * (1 + 1e-9));
        EXPECT_GE(p->high_s, p->decode_s * (1 - 1e-9));
        EXPECT_EQ(p->measured_steps, cut - 1);
        EXPECT_EQ(p->projected_steps, kNew - cut);
      }
    }
}

TEST(Projection, IsExactWithTheRightShareOfKv) {
  const double a = 2, b = 1e-3;
  const double whole = sum(steps(a, b, 95, 128));
  for (std::int64_t cut = 5; cut <= 96; ++cut) {
    const auto samples = steps(a, b, cut - 1, 128);
    const double middle =
        128 + (cut >= 6 ? 3 + static_cast<double>(cut - 1) : 2 + static_cast<double>(cut - 1)) / 2;
    const double share = b * middle / (a + b * middle);
    EXPECT_NEAR(project_decode({samples, 128, 96, 0, share})->decode_s, whole, 1e-9 * whole) << cut;
  }
}

TEST(Projection, OfARunThatWasNotCutIsTheSum) {
  const auto p = project_decode({{3, 1, 2}, kPrompt, 4});
  ASSERT_TRUE(p);
  EXPECT_EQ(p->decode_s, 6);
  EXPECT_EQ(p->low_s, 6);
  EXPECT_EQ(p->high_s, 6);
  EXPECT_EQ(p->confidence, Confidence::measured);
}

TEST(Projection, NeedsADecodeStep) {
  EXPECT_FALSE(project_decode({{}, kPrompt, kNew}));  // --cut-gen-len 1
  EXPECT_FALSE(project_decode({{}, kPrompt, 1}));
}

// --cut-gen-len 2, where an average over no steps would be NaN.
TEST(Projection, OfOneStepTakesTheSlopeFromTheShareOfKv) {
  const auto flat = project_decode({{2.0}, kPrompt, kNew});
  ASSERT_TRUE(flat);
  EXPECT_DOUBLE_EQ(flat->decode_s, 2.0 * 31);
  EXPECT_EQ(flat->confidence, Confidence::low);

  const double a = 1.5, b = 0.5 / 513;  // a quarter of the first step grows with the context
  const auto p = project_decode({{line(a, b, 1)}, kPrompt, kNew, 1, 0.25});
  ASSERT_TRUE(p);
  EXPECT_NEAR(p->decode_s, sum(steps(a, b, 31)), 1e-9);
  EXPECT_EQ(p->confidence, Confidence::low);
  EXPECT_LE(p->low_s, p->decode_s);
  EXPECT_GE(p->high_s, p->decode_s);
  EXPECT_NEAR(p->low_s, 2.0 * 31, 1e-9);  // as if nothing grew
}

// The notebook's run of four micro-batches, cut at 2: its four costs belong to one token step and add up.
TEST(Projection, OfFourMicroBatchesCountsATokenStepOnce) {
  const std::vector<double> micro_batches{0.6, 0.5, 0.5, 0.4};
  const auto p = project_decode({{sum(micro_batches)}, kPrompt, kNew});
  ASSERT_TRUE(p);
  EXPECT_DOUBLE_EQ(p->decode_s, 2.0 * 31);
}

TEST(Projection, CutAtFiveWithSlowFirstSteps) {
  const auto p = project_decode({{9.0, 4.0, 2.0, 2.0}, kPrompt, kNew, 0, 0.0});
  ASSERT_TRUE(p);
  EXPECT_NEAR(p->decode_s, 17 + 27 * 2.0, 0.01);
  const auto without_share = project_decode({{9.0, 4.0, 2.0, 2.0}, kPrompt, kNew});
  EXPECT_NEAR(without_share->decode_s, 17 + 27 * 2.0, 0.01);
}

TEST(Projection, OneSlowOrFastStepOfThreeDoesNoHarm) {
  for (const double first : {0.2, 9.0}) {
    const auto p = project_decode({{first, 2.0, 2.0}, kPrompt, kNew, 0, 0.0});
    EXPECT_NEAR(p->decode_s, first + 30 * 2.0, 0.01) << first;
  }
}

TEST(Projection, PipelineFillIsNoSampleOfSteadyState) {
  const auto p = project_decode({{0.5, 2.0}, kPrompt, kNew, 1});
  EXPECT_DOUBLE_EQ(p->decode_s, 0.5 + 30 * 2.0);
  EXPECT_EQ(p->confidence, Confidence::low);
  const auto longer = project_decode({{0.1, 0.5, 3.0, 2.0, 2.0, 2.0}, kPrompt, kNew, 3});
  EXPECT_DOUBLE_EQ(longer->decode_s, 9.6 + 25 * 2.0);
}

TEST(Projection, TheSlopeIsNeitherNegativeNorSteeperThanTheCostItself) {
  const auto falling = project_decode({{5, 4, 3, 2, 1}, kPrompt, kNew});
  EXPECT_EQ(falling->per_position_s, 0);
  EXPECT_GT(falling->decode_s, 15);
  const auto rising = project_decode({{1, 2}, kPrompt, kNew});
  EXPECT_LE(rising->per_position_s, 2.0 / 514);
}

TEST(Projection, NoiseMovesItLittleAndTheIntervalHoldsTheTruth) {
  const double a = 0.03, b = 3e-5;  // a small model on CPU cores: prompt 128, 96 tokens
  const double whole = sum(steps(a, b, 95, 128));
  const double share = b * 132 / (a + b * 132);
  std::mt19937 generator(1);
  std::normal_distribution<double> noise(1, 0.01);
  for (const std::int64_t cut : {4, 8, 16}) {
    int inside = 0;
    for (int repeat = 0; repeat < 200; ++repeat) {
      auto samples = steps(a, b, cut - 1, 128);
      for (double& each : samples) each *= noise(generator);
      const auto p = project_decode({samples, 128, 96, 0, 1.3 * share});
      EXPECT_NEAR(p->decode_s, whole, 0.05 * whole) << cut;
      inside += p->low_s <= whole && whole <= p->high_s;
    }
    EXPECT_GE(inside, 180) << cut;
  }
}

TEST(Projection, AsJsonHoldsNoNan) {
  for (const auto& seconds : {std::vector<double>{0.0}, {0.0, 0.0}, {0.0, 0.0, 0.0}, {1e-9, 0, 1, 0}}) {
    const auto json = to_json(*project_decode({seconds, 1, 9, 0, 0.5}));
    for (const auto& [key, value] : json.items())
      EXPECT_TRUE(!value.is_number() || std::isfinite(value.get<double>())) << key;
  }
}

}  // namespace
}  // namespace optpipe::metrics
