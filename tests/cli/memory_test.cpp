// Memory is counted before it is taken: what does not fit is refused, and what is taken is what was planned.
#include <fmt/format.h>

#include <sstream>

#include "cli/program.hpp"

namespace optpipe::test {
namespace {

using nlohmann::json;

std::string token_prompts(int count, int length) {
  std::vector<json> lines;
  for (int i = 0; i < count; ++i) {
    std::vector<int> tokens{2};
    for (int k = 1; k < length; ++k) tokens.push_back(4 + (i + k) % 50000);
    lines.push_back({{"id", i}, {"tokens", tokens}});
  }
  return to_lines(lines);
}

Words dummy(const std::string& size, const Words& words) {
  return Words{"generate", "--model", "facebook/" + size, "--path", "DUMMY", "--input", "-"} + words;
}

// The notebook's first commands, which were killed after minutes. Nothing may be taken for them: this machine
// has no 125 GiB.
TEST(Memory, RefusesWhatDoesNotFit) {
  for (const auto* batches : {"3", "4"}) {
    const auto finished =
        run_optpipe(dummy("opt-30b", {"--gpu-batch-size", "48", "--num-gpu-batches", batches, "--host-mem",
                                      "125GiB", "--disk-space", "0"}) +
                        percent("20 80 0 100 0 100"),
                    {.input = token_prompts(192, 512), .seconds = 30});
    expect_refused(finished, 3,
                   {"opt-30b does not fit: rank 0 on ", "GiB of host memory (KV cache ", "weights ",
                    "but 125.000 GiB are left (--host-mem); the nearest policy that fits: --percent 20 80 0 "
                    "100 0 100 --gpu-batch-size ",
                    "prompts in flight"});
  }
}

std::string pasted_flags(const std::string& err) {
  const std::string begin = "the nearest policy that fits: ";
  const auto at = err.find(begin) + begin.size();
  return err.substr(at, err.find(" (", at) - at);
}

TEST(Memory, TheNearestPolicyFits) {
  // Libraries of a GPU build take more than the model: the budget stands on what the process has anyway.
  const Folder folder;
  const auto alone =
      run_optpipe(generate({"--prompt", "x", "--max-new-tokens", "1", "--json", folder / "report.json"}));
  ASSERT_EQ(alone.status, 0) << alone.err;
  const json report = json::parse(read_file(folder / "report.json"));
  const auto process = report["memory"][0]["planned"]["plain"]["runtime"].get<std::int64_t>() >> 20;
  const Words budgets{"--host-mem", fmt::format("{}MiB", process + 24), "--disk-space", "0"};
  const Launch launch{.input = token_prompts(64, 60)};
  const Words words = generate({"--input", "-", "--gpu-batch-size", "32", "--num-gpu-batches", "2",
                                "--max-new-tokens", "3"}) +
                      budgets;
  const auto refused = run_optpipe(words, launch);
  ASSERT_EQ(refused.status, 3) << refused.err;
  Words flags;
  std::istringstream in(pasted_flags(refused.err));
  for (std::string word; in >> word;) flags.push_back(word);
  ASSERT_GE(flags.size(), 11u) << refused.err;
  const Words again = generate({"--input", "-", "--max-new-tokens", "3"}) + budgets + flags;
  EXPECT_EQ(run_optpipe(again, launch).status, 0) << refused.err;
}

TEST(Memory, DiskSpaceIsABudgetToo) {
  const auto finished = run_optpipe(
      generate({"--prompt", "x", "--disk-space", "1MiB"}) + percent("0 0 0 0 0 0"), {.seconds = 30});
  expect_refused(finished, 3, {"of disk space (weights ", "1.0 MiB are left (--disk-space)", "--percent "});
}

TEST(Memory, BudgetsAreSizes) {
  for (const auto* flag : {"--gpu-mem", "--host-mem", "--disk-space"})
    for (const auto* size : {"much", "-1GiB", "5 parsecs", ""})
      expect_refused(run_optpipe(generate({"--prompt", "x", std::string(flag) + "=" + size})), 2, {flag});
}

// No disk tier, no need for its folder.
TEST(Memory, AFolderThatIsNotUsedNeedNotExist) {
  const auto finished = run_optpipe(
      generate({"--prompt", "x", "--max-new-tokens", "1", "--offload-dir", "/dev/null/x"}), {.seconds = 30});
  EXPECT_EQ(finished.status, 0) << finished.err;
}

class MeasuredMemory : public ::testing::TestWithParam<const char*> {};

TEST_P(MeasuredMemory, IsThePlanned) {
  if (kSanitized) GTEST_SKIP() << "a sanitizer takes memory of its own";
  const Folder folder;
  const auto finished =
      run_optpipe(dummy("opt-125m", {"--max-new-tokens", "3", "--gpu-batch-size", "16", "--num-gpu-batches",
                                     "2", "--json", folder / "report.json", "--show-memory"}) +
                      percent(GetParam()),
                  {.input = token_prompts(16, 30)});
  ASSERT_EQ(finished.status, 0) << finished.err;
  const json memory = json::parse(read_file(folder / "report.json"))["memory"][0];
  const double mib = 1 << 20;
  const double planned = memory["planned"]["plain"]["total"].get<double>() / mib;
  const double measured = memory["measured"]["host"].get<double>() / mib;
  EXPECT_LE(measured, planned) << memory.dump(1);
  EXPECT_GE(measured, planned * 0.98 - 48) << memory.dump(1);  // stated costs of the process are upper bounds
  EXPECT_NEAR(memory["measured"]["disk"].get<double>() / mib,
              memory["planned"]["disk"]["total"].get<double>() / mib, 1);
  EXPECT_EQ(memory["measured"]["pinned"], 0);
  EXPECT_THAT(finished.err, ::testing::HasSubstr("planned     measured  planned as"));
}

INSTANTIATE_TEST_SUITE_P(FivePolicies, MeasuredMemory,
                         ::testing::Values("100 0 100 0 100 0", "20 80 0 100 0 100", "0 50 50 0 0 100",
                                           "50 25 50 25 50 25", "0 0 0 0 0 0"));

}  // namespace
}  // namespace optpipe::test
