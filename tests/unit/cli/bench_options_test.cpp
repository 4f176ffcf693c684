#include <gmock/gmock.h>

#include "cli/bench/bench_desk.hpp"
#include "cli/options.hpp"
#include "optpipe/base/error.hpp"

namespace optpipe::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

BenchOptions parse(std::vector<const char*> words) {
  words.insert(words.begin(), {"optpipe", "bench"});
  return *parse_command_line(static_cast<int>(words.size()), words.data()).options.bench;
}

TEST(BenchOptions, DefaultsAreFlexGens) {
  const auto options = parse({});
  EXPECT_EQ(options.model.model, "facebook/opt-6.7b");
  EXPECT_EQ(options.prompt_len, 512);
  EXPECT_EQ(options.gen_len, 32);
  EXPECT_EQ(options.cut_gen_len, 0);
  EXPECT_EQ(options.run.policy.gpu_batch_size, 4);
  EXPECT_EQ(options.run.policy.gpu_batches, 1);
  EXPECT_EQ(options.run.policy.micro_batches, 0);
  EXPECT_THAT(options.run.percent, ElementsAre(100, 0, 100, 0, 100, 0));
  EXPECT_TRUE(options.run.policy.overlap);
  EXPECT_EQ(options.verbose, 2);
  EXPECT_EQ(options.log_file, "auto");
}

TEST(BenchOptions, FlagsMayBeAbbreviatedAsInFlexGen) {
  const auto options =
      parse({"--prompt=16", "--gen", "4", "--cut", "2", "--num-gpu", "3", "--comm", "cpu", "--no"});
  EXPECT_EQ(options.prompt_len, 16);
  EXPECT_EQ(options.gen_len, 4);
  EXPECT_EQ(options.cut_gen_len, 2);
  EXPECT_EQ(options.run.policy.gpu_batches, 3);
  EXPECT_EQ(options.run.comm_device, "cpu");
  EXPECT_TRUE(options.no_log);
  EXPECT_THAT(
      [] {
        parse({"--co", "cpu"});
      },
      ThrowsMessage<UsageError>(
          HasSubstr("--co could be --compress-weight or --compress-cache or --comm-device")));
}

TEST(BenchOptions, FlagsWithNothingToDoAreAcceptedAndRemembered) {
  const auto options = parse({"--head-ip", "172.17.0.3", "--port", "7777", "--use-mpi", "--rank", "0",
                              "--local-rank", "0", "--async-comm", "--sep-layer", "false", "--pin-weight"});
  EXPECT_THAT(options.idle_flags, ElementsAre("--head-ip", "--port", "--rank", "--local-rank", "--use-mpi",
                                              "--async-comm", "--sep-layer", "--pin-weight"));
}

TEST(BenchOptions, FewerBatchesAreACut) {
  EXPECT_EQ(parse({"--debug-mode", "fewer_batch"}).cut_gen_len, 4);
  EXPECT_EQ(parse({"--debug-mode", "fewer_batch", "--cut-gen-len", "7"}).cut_gen_len, 7);
  EXPECT_EQ(parse({"--debug-mode", "fewer_batch", "--gen-len", "2"}).cut_gen_len, 2);
}

TEST(BenchOptions, WhatCannotBeIsRefused) {
  EXPECT_THROW(parse({"--cut-gen-len", "33"}), UsageError);
  EXPECT_THROW(parse({"--cut-gen-len", "0"}), UsageError);
  EXPECT_THROW(parse({"--gpu-batch-size", "0"}), UsageError);
  EXPECT_THROW(parse({"--json", "x", "--trace", "x"}), UsageError);
  EXPECT_THROW(parse({"--debug-mode", "x"}), UsageError);
}

TEST(BenchLog, HasFlexGensName) {
  EXPECT_EQ(automatic_log_name(parse({})),
            "fo-6.7b-gbs4-ngbs1-prompt512-gen32-percent-100-0-100-0-100-0-gpu-cache.log");
  EXPECT_EQ(automatic_log_name(
                parse({"--model", "models/tiny-opt/", "--percent", "20", "80", "0", "100", "0", "100"})),
            "fo-opt-gbs4-ngbs1-prompt512-gen32-percent-20-80-0-100-0-100-gpu-cache.log");
}

}  // namespace
}  // namespace optpipe::cli
