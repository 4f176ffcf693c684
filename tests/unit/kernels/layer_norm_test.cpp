#include <cmath>

#include "optpipe/kernels/cpu.hpp"
#include "unit/kernels/support.hpp"

namespace optpipe::kernels {
namespace {

using testing::Numbers;

using LayerNorm = testing::OnTarget;
INSTANTIATE_ON_TARGETS(LayerNorm);

std::vector<double> expected(const std::vector<float>& x, std::int64_t h, const Numbers& weight,
                             const Numbers& bias) {
  std::vector<double> result;
  for (std::size_t row = 0; row < x.size(); row += static_cast<std::size_t>(h)) {
    const std::span<const float> values(x.data() + row, static_cast<std::size_t>(h));
    double mean = 0, variance = 0;
    for (const float value : values) mean += value / static_cast<double>(h);
    for (const float value : values) variance += (value - mean) * (value - mean) / static_cast<double>(h);
    for (std::size_t i = 0; i < values.size(); ++i)
      result.push_back((values[i] - mean) / std::sqrt(variance + 1e-5) *
                           (weight.size() ? weight.values[i] : 1) +
                       (bias.size() ? bias.values[i] : 0));
  }
  return result;
}

VectorView view(const Numbers& numbers) {
  return {numbers.type, numbers.size() ? numbers.bytes.data() : nullptr};
}

TEST_P(LayerNorm, EqualsTheReference) {
  for (const DType type : testing::kAllTypes)
    for (const std::int64_t h : {1, 7, 16, 63, 80, 768, 1000})
      for (const bool affine : {false, true}) {
        testing::Random random(static_cast<std::uint64_t>(h));
        auto x = random.floats(17 * h);
        for (float& value : x) value += 10;  // a mean far from 0: one pass over squares would lose digits
        const Numbers weight = random.numbers(type, affine ? h : 0),
                      bias = random.numbers(type, affine ? h : 0);
        std::vector<float> out(x.size(), testing::kPoison);
        layer_norm(x.data(), 17, h, view(weight), view(bias), out.data(), 2);
        const auto reference = expected(x, h, weight, bias);
        // The mean of values near 10 is rounded to 5e-7: absolutely, whatever their deviation of 1.
        for (std::size_t i = 0; i < out.size(); ++i)
          ASSERT_NEAR(out[i], reference[i], 1e-5) << name_of(type) << " h " << h << " element " << i;
        EXPECT_LT(testing::relative_error(out, reference), 2e-6) << name_of(type) << " h " << h;
      }
}

TEST_P(LayerNorm, RowsDependOnNothingElse) {
  const std::int64_t h = 333;
  testing::Random random(5);
  const auto x = random.floats(40 * h);
  const Numbers weight = random.numbers(DType::f16, h), bias = random.numbers(DType::f16, h);
  std::vector<float> all(x.size(), testing::kPoison), one(static_cast<std::size_t>(h));
  layer_norm(x.data(), 40, h, view(weight), view(bias), all.data(), 3);
  for (std::int64_t r = 0; r < 40; ++r) {
    std::fill(one.begin(), one.end(), testing::kPoison);
    layer_norm(x.data() + r * h, 1, h, view(weight), view(bias), one.data(), 1);
    EXPECT_TRUE(testing::same_bits(one, std::span(all).subspan(static_cast<std::size_t>(r * h), one.size())));
  }
  std::vector<float> in_place = x;
  layer_norm(in_place.data(), 40, h, view(weight), view(bias), in_place.data(), 2);
  EXPECT_TRUE(testing::same_bits(in_place, all));
}

TEST_P(LayerNorm, EqualElementsGiveTheBias) {
  const std::vector<float> x(48, 3.0f);
  testing::Random random(6);
  const Numbers weight = random.numbers(DType::f32, 48), bias = random.numbers(DType::f32, 48);
  std::vector<float> out(48, testing::kPoison);
  layer_norm(x.data(), 1, 48, view(weight), view(bias), out.data(), 1);
  for (std::size_t i = 0; i < 48; ++i) EXPECT_EQ(out[i], static_cast<float>(bias.values[i]));
}

}  // namespace
}  // namespace optpipe::kernels
