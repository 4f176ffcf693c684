// Dummy weights: stable values, independent streams, and a scale that fits.
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "fixtures.hpp"

namespace optpipe::model {
namespace {

struct Moments {
  double mean, deviation, largest;
};
Moments moments_of(const std::vector<float>& values) {
  double sum = 0, squares = 0, largest = 0;
  for (const auto v : values) {
    sum += v;
    squares += static_cast<double>(v) * v;
    largest = std::max<double>(largest, std::abs(v));
  }
  const auto n = static_cast<double>(values.size());
  return {sum / n, std::sqrt(squares / n - sum / n * sum / n), largest};
}

double correlation_of(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a[i]) * b[i];
  return sum / static_cast<double>(a.size()) / (moments_of(a).deviation * moments_of(b).deviation);
}

ModelConfig small_config() {
  auto config = config_of_size("opt-125m");
  config.layers = 2;
  return config;
}

TEST(Dummy, MatricesAreScaledByTheirColumns) {
  const auto checkpoint = open_dummy_checkpoint(small_config(), 1, DType::f32);
  for (const auto* name : {"decoder.layers.0.self_attn.q_proj.weight", "decoder.layers.1.fc1.weight",
                           "decoder.layers.1.fc2.weight", "decoder.embed_positions.weight"}) {
    const auto columns = static_cast<double>(checkpoint->find(name)->shape.at(1));
    const auto values = read_floats(*checkpoint, name);
    const auto m = moments_of(values);
    // The standard error of a mean of n values is deviation / sqrt(n); n >= 589824 here.
    EXPECT_NEAR(m.mean * std::sqrt(columns), 0, 6 / std::sqrt(static_cast<double>(values.size()))) << name;
    EXPECT_NEAR(m.deviation * std::sqrt(columns), 1, 0.01) << name;
    EXPECT_LT(m.largest * std::sqrt(columns), std::sqrt(3.0)) << name;
    const std::vector<float> shifted(values.begin() + 1, values.end());
    EXPECT_NEAR(correlation_of(shifted, {values.begin(), values.end() - 1}), 0, 0.01) << name;
    EXPECT_EQ(std::set<float>(values.begin(), values.end()).size(), 4096U) << name;
  }
}

TEST(Dummy, NormsAreAboutOneAndBiasesSmall) {
  const auto checkpoint = open_dummy_checkpoint(small_config(), 1, DType::f32);
  for (const auto* name : {"decoder.final_layer_norm.weight", "decoder.layers.0.final_layer_norm.weight",
                           "decoder.layers.1.self_attn_layer_norm.weight"}) {
    const auto m = moments_of(read_floats(*checkpoint, name));
    EXPECT_NEAR(m.mean, 1, 0.02) << name;
    EXPECT_NEAR(m.deviation, 0.05, 0.01) << name;
  }
  for (const auto* name : {"decoder.final_layer_norm.bias", "decoder.layers.0.fc1.bias"}) {
    const auto m = moments_of(read_floats(*checkpoint, name));
    EXPECT_NEAR(m.mean, 0, 0.005) << name;
    EXPECT_NEAR(m.deviation, 0.02, 0.005) << name;
  }
}

TEST(Dummy, TensorsAndSeedsAreIndependent) {
  const std::string q = "decoder.layers.0.self_attn.q_proj.weight",
                    k = "decoder.layers.0.self_attn.k_proj.weight";
  const auto one = open_dummy_checkpoint(small_config(), 1, DType::f32);
  const auto two = open_dummy_checkpoint(small_config(), 2, DType::f32);
  EXPECT_EQ(read_floats(*one, q), read_floats(*open_dummy_checkpoint(small_config(), 1, DType::f32), q));
  EXPECT_NEAR(correlation_of(read_floats(*one, q), read_floats(*one, k)), 0, 0.01);
  EXPECT_NEAR(correlation_of(read_floats(*one, q), read_floats(*two, q)), 0, 0.01);
  EXPECT_NEAR(
      correlation_of(read_floats(*one, q), read_floats(*one, "decoder.layers.1.self_attn.q_proj.weight")), 0,
      0.01);
}

TEST(Dummy, EveryTypeRoundsTheSameValues) {
  const std::string name = "decoder.layers.0.fc2.weight";
  const auto exact = read_floats(*open_dummy_checkpoint(little_config(), 3, DType::f32), name);
  const auto half = read_floats(*open_dummy_checkpoint(little_config(), 3, DType::f16), name);
  const auto brain = read_floats(*open_dummy_checkpoint(little_config(), 3, DType::bf16), name);
  for (std::size_t i = 0; i < exact.size(); ++i) {
    EXPECT_EQ(half[i], half_to_float(float_to_half(exact[i])));
    EXPECT_EQ(brain[i], bfloat16_to_float(float_to_bfloat16(exact[i])));
  }
}

// Runs that are compared across machines and releases rely on these; made by another implementation of the
// definition.
TEST(Dummy, ValuesDoNotChange) {
  const auto values = read_floats(*open_dummy_checkpoint(little_config(), 42, DType::f16),
                                  "decoder.layers.0.fc1.weight", 3, 6);
  EXPECT_EQ(values, (std::vector<float>{-0.31640625F, -0.12152099609375F, -0.0246734619140625F,
                                        0.435302734375F, 0.30712890625F, 0.49560546875F}));
}

TEST(Dummy, HasTheTensorsOfItsModel) {
  auto config = little_config();
  const auto tied = open_dummy_checkpoint(config, 1, DType::f16);
  EXPECT_FALSE(tied->find("lm_head.weight"));
  config.tied_head = false;
  config.embedding = 4;
  config.bias = false;
  const auto other = open_dummy_checkpoint(config, 1, DType::f16);
  EXPECT_EQ(other->find("lm_head.weight")->shape, (std::vector<std::int64_t>{11, 4}));
  EXPECT_EQ(other->find("decoder.project_in.weight")->shape, (std::vector<std::int64_t>{8, 4}));
  EXPECT_FALSE(other->find("decoder.layers.0.fc1.bias"));
}

}  // namespace
}  // namespace optpipe::model
