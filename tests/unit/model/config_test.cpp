#include "optpipe/model/config.hpp"

#include <gmock/gmock.h>
#include <unistd.h>

#include <fstream>

#include "optpipe/base/error.hpp"

namespace optpipe::model {
namespace {

namespace fs = std::filesystem;

class ConfigTest : public ::testing::Test {
 protected:
  void SetUp() override { fs::create_directories(directory_); }
  void TearDown() override { fs::remove_all(directory_); }

  ModelConfig load(const std::string& json) {
    std::ofstream(directory_ / "config.json") << json;
    return load_config(directory_);
  }
  std::string error_of(const std::string& json) {
    try {
      load(json);
    } catch (const InputError& error) {
      return error.what();
    }
    return "no error";
  }

  fs::path directory_ = fs::path(testing::TempDir()) / ("optpipe-config-test-" + std::to_string(getpid()));
};

TEST_F(ConfigTest, DefaultsAreThoseOfTransformers) {
  const auto c = load(R"({"model_type": "opt"})");
  EXPECT_EQ(c.layers, 12);
  EXPECT_EQ(c.hidden, 768);
  EXPECT_EQ(c.ffn, 3072);
  EXPECT_EQ(c.embedding, 768);
  EXPECT_TRUE(c.pre_norm && c.final_norm && c.bias && c.norm_affine && c.tied_head);
  EXPECT_EQ(c.activation, Activation::relu);
  EXPECT_EQ(c.eos_tokens, std::vector<std::int64_t>{2});
}

TEST_F(ConfigTest, ReadsTheArchitectureFromTheFile) {
  const auto c =
      load(R"({"model_type": "opt", "num_hidden_layers": 24, "hidden_size": 1024, "num_attention_heads": 16,
    "ffn_dim": 4096, "word_embed_proj_dim": 512, "do_layer_norm_before": false, "activation_function": "gelu",
    "enable_bias": false, "layer_norm_elementwise_affine": false, "vocab_size": 50000, "max_position_embeddings": 1000,
    "tie_word_embeddings": false, "torch_dtype": "bfloat16", "eos_token_id": [2, 50118]})");
  EXPECT_TRUE(c.has_projection());
  EXPECT_EQ(c.head_dim(), 64);
  EXPECT_FALSE(c.pre_norm || c.final_norm || c.bias || c.norm_affine || c.tied_head);
  EXPECT_EQ(c.activation, Activation::gelu);
  EXPECT_EQ(c.dtype, DType::bf16);
  EXPECT_THAT(c.eos_tokens, testing::ElementsAre(2, 50118));
}

TEST_F(ConfigTest, RefusesWhatItCannotRun) {
  EXPECT_THAT(error_of("{"), testing::HasSubstr("not a JSON object"));
  EXPECT_THAT(error_of("[]"), testing::HasSubstr("not a JSON object"));
  EXPECT_THAT(error_of(R"({"model_type": "llama"})"), testing::HasSubstr("\"llama\""));
  EXPECT_THAT(error_of(R"({"activation_function": "swish"})"), testing::HasSubstr("swish"));
  EXPECT_THAT(error_of(R"({"hidden_size": 100, "num_attention_heads": 7})"),
              testing::HasSubstr("not a multiple"));
  EXPECT_THAT(error_of(R"({"hidden_size": -4})"), testing::HasSubstr("outside"));
  EXPECT_THAT(error_of(R"({"num_hidden_layers": 1000000000000})"), testing::HasSubstr("outside"));
  EXPECT_THAT(error_of(R"({"vocab_size": "many"})"), testing::HasSubstr("whole number"));
  EXPECT_THAT(error_of(R"({"enable_bias": 1})"), testing::HasSubstr("true or false"));
  EXPECT_THROW(load_config(directory_ / "nowhere"), InputError);
}

TEST(Sizes, ByName) {
  EXPECT_EQ(config_of_size("facebook/opt-30b").layers, 48);
  EXPECT_EQ(config_of_size("opt-2.7b").head_dim(), 80);
  EXPECT_EQ(config_of_size("opt-350m").embedding, 512);
  EXPECT_FALSE(config_of_size("opt-350m").pre_norm);
  EXPECT_THROW(config_of_size("opt-31b"), UsageError);
}

}  // namespace
}  // namespace optpipe::model
