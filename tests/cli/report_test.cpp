// --json: what scripts read.
#include "cli/program.hpp"

namespace optpipe::test {
namespace {

using nlohmann::json;

json report_of(const Words& words) {
  const Folder folder;
  const auto finished = run_optpipe(generate(words + Words{"--json", folder / "report.json"}));
  EXPECT_EQ(finished.status, 0) << finished.err;
  return json::parse(read_file(folder / "report.json"));
}

TEST(Report, FiguresAgreeWithEachOther) {
  const Words prompts{"--prompt", bundled_golden()["prompts"][0], bundled_golden()["prompts"][1]};
  const auto report = report_of(prompts + Words{"--gpu-batch-size", "1", "--no-continuous-batching"});
  const auto& result = report["result"];
  EXPECT_EQ(result["prompts"], 2);
  EXPECT_EQ(result["prompt_tokens"], 7 + 6);
  EXPECT_EQ(result["new_tokens"], 18 + 20);
  EXPECT_EQ(result["projected"], false);
  const double prefill = result["prefill_s"], decode = result["decode_s"], total = result["total_s"];
  EXPECT_GT(prefill, 0);
  EXPECT_GT(decode, 0);
  EXPECT_NEAR(total, prefill + decode, 1e-9);
  EXPECT_NEAR(result["prefill_token_s"].get<double>() * prefill, 13, 1e-6);
  EXPECT_NEAR(result["decode_token_s"].get<double>() * decode, 38 - 2, 1e-6);
  EXPECT_NEAR(result["total_token_s"].get<double>() * total, 38, 1e-6);
}

// Where a prompt takes the place of another, its tokens are computed among decode steps.
TEST(Report, PhasesThatRunTogetherHaveNoRates) {
  const Words prompts{"--prompt", bundled_golden()["prompts"][0], bundled_golden()["prompts"][1]};
  const auto result = report_of(prompts + Words{"--gpu-batch-size", "1"})["result"];
  EXPECT_TRUE(result["prefill_token_s"].is_null());
  EXPECT_TRUE(result["decode_token_s"].is_null());
  EXPECT_GT(result["total_token_s"], 0);
}

TEST(Report, WhatWasNotMeasuredIsNull) {
  const auto result = report_of({"--prompt", "x", "--max-new-tokens", "1"})["result"];
  EXPECT_EQ(result["new_tokens"], 1);
  EXPECT_TRUE(result["decode_s"].is_null());
  EXPECT_TRUE(result["decode_token_s"].is_null());
  EXPECT_GT(result["prefill_s"], 0);
  EXPECT_GE(result["total_s"], result["prefill_s"]);
}

TEST(Report, SaysWhatWasRun) {
  const auto input = report_of(
      Words{"--prompt", "x", "--gpu-batch-size", "3", "--max-new-tokens", "2", "--overlap", "false"} +
      percent("10 20 30 40 50 50"))["input"];
  EXPECT_EQ(input["model"], "tiny-opt");
  EXPECT_EQ(input["layers"], 8);
  EXPECT_EQ(input["hidden"], 192);
  EXPECT_EQ(input["dtype"], "fp16");
  EXPECT_EQ(input["ranks"], 1);
  EXPECT_EQ(input["percent"], (json{10, 20, 30, 40, 50, 50}));
  EXPECT_EQ(input["gpu_batch_size"], 3);
  EXPECT_EQ(input["num_gpu_batches"], 1);
  EXPECT_EQ(input["overlap"], false);
  EXPECT_EQ(input["max_new_tokens"], 2);
}

}  // namespace
}  // namespace optpipe::test
