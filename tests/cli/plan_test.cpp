// optpipe plan: memory and speed without a run.
#include "cli/program.hpp"

namespace optpipe::test {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

Words plan(const std::string& model, const Words& words) { return Words{"plan", "--model", model} + words; }
Words words_of(const std::string& text) {
  Words words;
  std::istringstream stream(text);
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

TEST(Plan, TellsMemoryAndSpeed) {
  const Folder folder;
  const auto finished = run_optpipe(
      plan("opt-30b",
           words_of("--machine h200x4 --percent 20 80 0 100 0 100 --gpu-batch-size 48 --num-gpu-batches 3") +
               Words{"--json", folder / "plan.json"}));
  ASSERT_EQ(finished.status, 0) << finished.err;
  EXPECT_THAT(finished.out, HasSubstr("KV cache"));
  EXPECT_THAT(finished.out, HasSubstr("decode"));
  EXPECT_THAT(finished.out, HasSubstr("bound by host to device copies"));
  const auto report = json::parse(read_file(folder / "plan.json"));
  EXPECT_EQ(report["fits"], true);
  EXPECT_EQ(report["result"]["prompts"], 144);
  EXPECT_EQ(report["result"]["new_tokens"], 144 * 32);
  EXPECT_EQ(report["result"]["projected"], true);
  EXPECT_NEAR(report["result"]["total_s"].get<double>(),
              report["result"]["prefill_s"].get<double>() + report["result"]["decode_s"].get<double>(), 1e-9);
  EXPECT_THAT(report["memory"], SizeIs(1));
  EXPECT_EQ(report["ranks"][0]["phases"]["decode"]["binds"], "host to device copies");
}

TEST(Plan, WhatDoesNotFitEndsWithTheNearestPolicyThatDoes) {
  const auto finished = run_optpipe(plan(
      "opt-30b", words_of("--machine h100 --host-mem 125GiB --percent 20 80 0 100 0 100 --gpu-batch-size 48 "
                          "--num-gpu-batches 3")));
  EXPECT_EQ(finished.status, 3);
  EXPECT_THAT(finished.out, HasSubstr("KV cache"));  // the table is there all the same
  ASSERT_THAT(error_lines(finished.err), SizeIs(1));
  EXPECT_THAT(error_lines(finished.err)[0], HasSubstr("--host-mem"));
  EXPECT_THAT(error_lines(finished.err)[0], HasSubstr("the nearest policy that fits: --percent"));
}

// With room for one more layer in fp16, or a little less: never a reason to refuse.
TEST(Plan, LayersAreWidenedOnceWhereThereIsRoom) {
  const Folder folder;
  const auto planned = [&](const Words& more) {
    const auto finished = run_optpipe(plan(
        "opt-30b", words_of("--machine h100 --host-mem 125GiB --percent 20 80 0 100 0 100 --compress-weight "
                            "--compress-cache --gpu-batch-size 48 --num-gpu-batches 4") +
                       more + Words{"--json", folder / "plan.json"}));
    EXPECT_EQ(finished.status, 0) << finished.err;
    EXPECT_THAT(finished.out, HasSubstr("quantized weights: each"));
    return json::parse(read_file(folder / "plan.json"));
  };
  const auto wide = planned({}), narrow = planned(words_of("--gpu-mem 8400MiB"));
  EXPECT_EQ(wide["input"]["keep_widened"], true);
  EXPECT_EQ(narrow["input"]["keep_widened"], false);
  EXPECT_LT(wide["result"]["prefill_s"].get<double>(), narrow["result"]["prefill_s"].get<double>());
}

// What the search found is a policy that plan agrees with, to the flags.
TEST(Plan, TheSearchFindsAPolicyThatFits) {
  const Folder folder;
  const Words place = words_of("--machine h100 --host-mem 125GiB --gen-len 16");
  const auto found = run_optpipe(
      plan("opt-30b", place + Words{"--search", "--search-time", "5", "--json", folder / "best.json"}));
  ASSERT_EQ(found.status, 0) << found.err;
  EXPECT_THAT(found.out, HasSubstr("token/s"));
  const auto best = json::parse(read_file(folder / "best.json"))["best"][0];
  const auto planned =
      run_optpipe(plan("opt-30b", place + words_of(best["flags"]) + Words{"--json", folder / "plan.json"}));
  ASSERT_EQ(planned.status, 0) << planned.err;
  const auto report = json::parse(read_file(folder / "plan.json"));
  EXPECT_NEAR(report["result"]["total_token_s"].get<double>(), best["token_s"].get<double>(), 1e-6);
}

TEST(Plan, ALaptopPlansForACluster) {
  const auto finished = run_optpipe(
      plan("opt-175b", words_of("--machine h200x4 --ranks 64 --ranks-per-node 8 --gpu-batch-size 8")));
  ASSERT_EQ(finished.status, 0) << finished.err;
  EXPECT_THAT(finished.out, HasSubstr("ranks 1-"));  // ranks alike are one block
  EXPECT_THAT(finished.out, HasSubstr("a node's 8 ranks together"));
}

TEST(Plan, ReadsTheFolderOfACheckpoint) {
  const auto finished = run_optpipe(
      plan(bundled_model(), words_of("--machine h100 --prompt-len 20 --gen-len 8 --gpu-batch-size 2")));
  EXPECT_EQ(finished.status, 0) << finished.err;
}

TEST(Plan, MistakesAreNamed) {
  expect_refused(run_optpipe(plan("opt-30b", {"--machine", "cray-1"})), 4, {"cray-1", "h100"});
  expect_refused(run_optpipe(plan("opt-31b", {"--machine", "h100"})), 2, {"opt-31b"});
  expect_refused(run_optpipe(plan("opt-30b", words_of("--machine h100 --prompt-len 2000 --gen-len 100"))), 2,
                 {"--prompt-len", "2048"});
  expect_refused(run_optpipe(plan("opt-30b", words_of("--machine h100 --allow-compression 4bit"))), 2,
                 {"--search"});
  expect_refused(run_optpipe(plan("opt-125m", words_of("--machine h100 --ranks 13"))), 2, {"12"});
}

}  // namespace
}  // namespace optpipe::test
