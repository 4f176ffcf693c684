// Sampling: the same seed gives the same tokens, whatever else changes.
#include "cli/program.hpp"

namespace optpipe::test {
namespace {

using nlohmann::json;

std::string sample(const Words& words) {
  std::vector<json> lines;
  for (const auto& prompt : bundled_golden()["prompts"]) lines.push_back({{"prompt", prompt}});
  const auto finished = run_optpipe(
      generate(Words{"--input", "-", "--do-sample", "--max-new-tokens", "12", "--temperature", "1.5"} +
               words),
      {.input = to_lines(lines)});
  EXPECT_EQ(finished.status, 0) << finished.err;
  EXPECT_EQ(json_lines(finished.out).size(), lines.size());
  return finished.out;
}

TEST(Sampling, TheSeedDecides) {
  const std::string reference = sample({"--seed", "7"});
  EXPECT_EQ(sample({"--seed", "7"}), reference);
  EXPECT_NE(sample({"--seed", "8"}), reference);
  EXPECT_NE(sample({"--seed", "18446744073709551615"}), reference);
}

TEST(Sampling, PlacementAndBatchesDoNot) {
  const std::string reference = sample({"--seed", "7"});
  EXPECT_EQ(sample(Words{"--seed", "7"} + percent("0 0 0 0 0 0")), reference);
  EXPECT_EQ(sample(Words{"--seed", "7", "--gpu-batch-size", "3"} + percent("30 40 50 50 0 100")), reference);
  EXPECT_EQ(sample({"--seed", "7", "--gpu-batch-size", "2", "--num-gpu-batches", "2"}), reference);
}

TEST(Sampling, OneCandidateIsGreedy) {
  const auto greedy = run_optpipe(generate({"--prompt", "Madrid"})).out;
  EXPECT_EQ(run_optpipe(generate({"--prompt", "Madrid", "--do-sample", "--top-k", "1"})).out, greedy);
  EXPECT_EQ(run_optpipe(generate({"--prompt", "Madrid", "--do-sample", "--top-p", "1e-9"})).out, greedy);
  EXPECT_EQ(run_optpipe(generate({"--prompt", "Madrid", "--temperature", "9", "--seed", "3"})).out, greedy);
}

}  // namespace
}  // namespace optpipe::test
