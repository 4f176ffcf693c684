#include "cli/options.hpp"

#include <gmock/gmock.h>

#include "optpipe/base/error.hpp"

namespace optpipe::cli {
namespace {

using ::testing::ElementsAre;

GenerateOptions parse(std::vector<const char*> words) {
  words.insert(words.begin(), {"optpipe", "generate", "--model", "m"});
  return *parse_command_line(static_cast<int>(words.size()), words.data()).options.generate;
}

TEST(Options, Defaults) {
  const auto options = parse({"--prompt", "x"});
  EXPECT_EQ(options.model.model, "m");
  EXPECT_EQ(options.max_new_tokens, 32);
  EXPECT_FALSE(options.sampling.sample);
  EXPECT_FALSE(options.ignore_eos);
  EXPECT_TRUE(options.run.policy.overlap);
  EXPECT_EQ(options.run.policy.gpu_batch_size, 0);
  EXPECT_TRUE(options.run.policy.weights.all_on_device());
  EXPECT_EQ(options.run.comm_timeout_s, 600);
}

TEST(Options, PromptsAreListedOrRepeated) {
  EXPECT_THAT(parse({"--prompt", "a", "b c", "--prompt", "d", "--seed", "1"}).prompts,
              ElementsAre("a", "b c", "d"));
  EXPECT_THAT(parse({"--prompt=a", "b",
                     "--prompt="
                     "--x"})
                  .prompts,
              ElementsAre("a", "b", "--x"));
  EXPECT_THAT(parse({"--prompt", "-1 is", "x"}).prompts, ElementsAre("-1 is", "x"));
}

TEST(Options, PromptsAndStopsAreTakenAsTheyAre) {
  for (const char* text : {"[a,b]", "[a]", "{}", "", "\"a\"", "a,b", "%%", "a=b", "\n"}) {
    EXPECT_THAT(parse({"--prompt", text}).prompts, ElementsAre(text));
    EXPECT_THAT(parse({"--prompt", "x", "--stop", text, "--stop", "s"}).stop, ElementsAre(text, "s"));
  }
}

TEST(Options, AWordAfterAnotherOptionIsNoPrompt) {
  EXPECT_THROW(parse({"--prompt", "a", "--seed", "1", "b"}), UsageError);
  EXPECT_THROW(parse({"--prompt", "a", "--stop", "x", "y"}), UsageError);
}

TEST(Options, SixPercents) {
  const auto options = parse({"--percent", "10", "20", "30", "40", "50", "0", "--prompt", "x"});
  EXPECT_THAT(options.run.percent, ElementsAre(10, 20, 30, 40, 50, 0));
  EXPECT_EQ(options.run.policy.weights.disk(), 70);
  EXPECT_EQ(options.run.policy.kv.host, 40);
  EXPECT_EQ(options.run.policy.hidden.device, 50);
}

TEST(Options, Compression) {
  const auto formats = [](std::vector<const char*> words) {
    words.insert(words.end(), {"--prompt", "x"});
    const auto policy = parse(words).run.policy;
    return std::pair(policy.weight_format, policy.kv_format);
  };
  using enum StorageFormat;
  EXPECT_EQ(formats({}), std::pair(native, native));
  EXPECT_EQ(formats({"--compress-weight"}), std::pair(q4, native));
  EXPECT_EQ(formats({"--compress-cache"}), std::pair(native, q4));
  EXPECT_EQ(formats({"--weight-format", "8bit", "--kv-format", "4bit"}), std::pair(q8, q4));
  EXPECT_EQ(formats({"--weight-format", "native", "--compress-cache"}), std::pair(native, q4));
  EXPECT_THROW(formats({"--weight-format", "2bit"}), UsageError);
  EXPECT_THROW(formats({"--compress-weight", "--weight-format", "8bit"}), UsageError);
}

TEST(Options, XCache) {
  const auto policy = [](std::vector<const char*> words) {
    words.insert(words.end(), {"--prompt", "x"});
    return parse(words).run.policy;
  };
  EXPECT_FALSE(policy({}).x_cache);
  EXPECT_TRUE(policy({"--kv-format", "x"}).x_cache);
  EXPECT_EQ(policy({"--kv-format", "x"}).kv_format, StorageFormat::native);
  EXPECT_EQ(policy({"--kv-format", "x"}).kv_format_name(), "x");
  EXPECT_EQ(policy({"--kv-format", "x", "--compress-weight"}).weight_format, StorageFormat::q4);
  EXPECT_EQ(policy({"--kv-format", "x", "--attention", "auto"}).attention, memory::AttentionPlace::gpu);
}

TEST(Options, Overlap) {
  EXPECT_FALSE(parse({"--overlap", "false", "--prompt", "x"}).run.policy.overlap);
  EXPECT_FALSE(parse({"--overlap=0", "--prompt", "x"}).run.policy.overlap);
  EXPECT_TRUE(parse({"--overlap", "true", "--prompt", "x"}).run.policy.overlap);
  EXPECT_TRUE(parse({"--overlap", "--prompt", "x"}).run.policy.overlap);
}

TEST(Options, SeedsHave64Bits) {
  EXPECT_EQ(parse({"--prompt", "x", "--seed", "18446744073709551615"}).sampling.seed, 18446744073709551615u);
  for (const char* seed : {"-1", "18446744073709551616", "1.5", "x", "1x", "+1"})
    EXPECT_THROW(parse({"--prompt", "x", "--seed", seed}), UsageError) << seed;
}

TEST(Options, StageLayers) {
  EXPECT_THAT(parse({"--prompt", "x", "--stage-layers", "4,4,3"}).run.stage_layers, ElementsAre(4, 4, 3));
}

}  // namespace
}  // namespace optpipe::cli
