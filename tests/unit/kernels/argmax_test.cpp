#include <cmath>

#include "optpipe/kernels/cpu.hpp"
#include "unit/kernels/support.hpp"

namespace optpipe::kernels {
namespace {

using Argmax = testing::OnTarget;
INSTANTIATE_ON_TARGETS(Argmax);

constexpr float kInfinity = std::numeric_limits<float>::infinity();

TEST_P(Argmax, FindsTheLargestAtEveryPlace) {
  for (const std::int64_t n : {1, 2, 15, 16, 17, 63, 100})
    for (std::int64_t place = 0; place < n; ++place) {
      auto values = testing::Random(9).floats(n);
      values[static_cast<std::size_t>(place)] = 100;
      EXPECT_EQ(argmax(values.data(), n), place);
    }
}

TEST_P(Argmax, TakesTheFirstOfEqualValues) {
  std::vector<float> values(70, -1.0f);
  for (const std::size_t place : {69, 41, 18, 3}) {
    values[place] = 2;
    EXPECT_EQ(argmax(values.data(), 70), static_cast<std::int64_t>(place));
  }
  const std::vector<float> zeros{-1, -0.0f, 0.0f};
  EXPECT_EQ(argmax(zeros.data(), 3), 1);
}

TEST_P(Argmax, NaNNeverWins) {
  for (const std::int64_t n : {1, 16, 37}) {
    std::vector<float> values(static_cast<std::size_t>(n), testing::kPoison);
    EXPECT_EQ(argmax(values.data(), n), 0);
    for (std::int64_t place = 0; place < n; ++place) {
      auto one = values;
      one[static_cast<std::size_t>(place)] = -5;
      EXPECT_EQ(argmax(one.data(), n), place);
      one[static_cast<std::size_t>(place)] = -kInfinity;
      EXPECT_EQ(argmax(one.data(), n), place);
    }
  }
}

TEST_P(Argmax, InfinityWins) {
  std::vector<float> values(50, 3e38f);
  values[31] = kInfinity;
  EXPECT_EQ(argmax(values.data(), 50), 31);
}

}  // namespace
}  // namespace optpipe::kernels
