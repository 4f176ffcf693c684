// Runs that are interrupted and go on: every prompt once, the output the same as without the interruption.
#include <signal.h>

#include "cli/running.hpp"

namespace optpipe::test {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class Resume : public ::testing::TestWithParam<int> {  // ranks
 protected:
  static constexpr int kPrompts = 90;

  Resume() {
    std::string lines;
    for (int i = 0; i < kPrompts; ++i)
      lines += nlohmann::json{{"id", "p" + std::to_string(i)}, {"tokens", {2, 50 + i, 60}}}.dump() + '\n';
    write_file(input_, lines + "{\"id\": \"bad\", \"prompt\": 5}\n");
  }

  // Sampled, so that a prompt's place in the input matters.
  Words words(const Words& more = {}) const {
    return generate({"--input", input_, "--output", output_, "--ignore-eos", "--max-new-tokens", "48",
                     "--do-sample", "--seed", "5", "--gpu-batch-size", "1"}) +
           more;
  }
  Launch launch() const { return {.ranks = GetParam(), .seconds = 60}; }

  // Starts a run, signals it as soon as `prompts` more are finished, and waits for its end. Of several ranks
  // one is killed, and mpirun is asked to stop.
  Finished interrupt(int signal, int prompts, const Words& more = {}) {
    Running run(words(more), launch(), folder_.path());
    run.wait_for_prompts(output_, journaled_prompts(output_) + prompts);
    EXPECT_FALSE(run.has_ended());
    run.send(GetParam() == 1 ? run.process(-1) : signal == SIGKILL ? run.process(1) : run.launcher(), signal);
    auto finished = run.wait();
    EXPECT_NE(finished.status, 0);
    EXPECT_FALSE(fs::exists(output_));
    return finished;
  }

  void expect_same_as_uninterrupted() {
    const auto finished = run_optpipe(words({"--resume"}), launch());
    ASSERT_EQ(finished.status, 0) << finished.err;
    const auto resumed = read_file(output_);
    EXPECT_FALSE(fs::exists(output_ + ".journal"));
    fs::remove(output_);
    ASSERT_EQ(run_optpipe(words()).status, 0);  // on one rank
    EXPECT_EQ(resumed, read_file(output_));
    EXPECT_EQ(json_lines(resumed).size(), kPrompts + 1u);
  }

  Folder folder_;
  const std::string input_ = folder_ / "in.jsonl", output_ = folder_ / "out.jsonl";
};

INSTANTIATE_TEST_SUITE_P(Ranks, Resume, ::testing::Values(1, 3));

TEST_P(Resume, AfterRequestsToStop) {
  const auto first = interrupt(SIGUSR1, 3);
  EXPECT_EQ(first.status, 1);
  ASSERT_EQ(error_lines(first.err).size(), 1u) << first.err;
  for (const std::string part : {"stopped by SIGUSR1", "of 91 prompts", "out.jsonl.journal", "--resume"})
    EXPECT_THAT(error_lines(first.err)[0], HasSubstr(part));
  const int finished = journaled_prompts(output_);
  EXPECT_GE(finished, 3);
  interrupt(SIGTERM, 3, {"--resume"});  // which ends ranks that mpirun started, too
  EXPECT_GE(journaled_prompts(output_), finished + 3);
  expect_same_as_uninterrupted();
}

TEST_P(Resume, AfterSigkillAndATornEntry) {
  interrupt(SIGKILL, 4);
  const auto journal = read_file(output_ + ".journal");
  write_file(output_ + ".journal", journal.substr(0, journal.size() - 7));
  expect_same_as_uninterrupted();
}

TEST(ResumeOptions, AnotherRunIsRefused) {
  const Folder folder;
  const std::string output = folder / "out.jsonl";
  write_file(folder / "in.jsonl", "{\"prompt\":\"Madrid\"}\n{\"prompt\":\"Rome\"}\n");
  const auto words = [&](const Words& more) {
    return generate({"--input", folder / "in.jsonl", "--output", output}) + more;
  };
  // A run that ends by the death of its disk leaves its journal.
  ASSERT_EQ(run_optpipe(words({"--max-new-tokens", "4"})).status, 0);
  const auto whole = read_file(output);
  EXPECT_FALSE(fs::exists(output + ".journal"));
  fs::remove(output);
  fs::create_directory(output + ".tmp");
  ASSERT_EQ(run_optpipe(words({"--max-new-tokens", "4"})).status, 1);
  ASSERT_EQ(journaled_prompts(output), 2);

  expect_refused(run_optpipe(words({"--max-new-tokens", "5", "--resume"})), 2,
                 {"another run", "max_new_tokens was 4 there and is 5 here"});
  expect_refused(run_optpipe(words({"--max-new-tokens", "4"})), 2, {"2 finished prompt(s)", "--resume"});
  write_file(folder / "in.jsonl", "{\"prompt\":\"Madrid\"}\n{\"prompt\":\"Oslo\"}\n");
  expect_refused(run_optpipe(words({"--max-new-tokens", "4", "--resume"})), 2, {"another run", "input was"});
  write_file(folder / "in.jsonl", "{\"prompt\":\"Madrid\"}\n{\"prompt\":\"Rome\"}\n");
  fs::remove(output + ".tmp");
  ASSERT_EQ(run_optpipe(words({"--max-new-tokens", "4", "--resume"})).status, 0);
  EXPECT_EQ(read_file(output), whole);
}

TEST(ResumeOptions, NeedsAnOutputFile) {
  expect_refused(run_optpipe(generate({"--prompt", "x", "--resume"})), 2, {"--resume needs", "--output"});
  expect_refused(run_optpipe(generate({"--prompt", "x", "--resume", "--output", "/dev/null"})), 2,
                 {"no file"});
}

TEST(ResumeOptions, WithoutAJournalTheRunBeginsAnew) {
  const Folder folder;
  ASSERT_EQ(run_optpipe(generate({"--prompt", "x", "--resume", "--output", folder / "out.jsonl"})).status, 0);
  EXPECT_EQ(json_lines(read_file(folder / "out.jsonl")).size(), 1u);
}

}  // namespace
}  // namespace optpipe::test
