// Ranks that die or fall silent in the middle of a run: the others end, soon.
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <future>
#include <thread>

#include "cli/program.hpp"

namespace optpipe::test {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

// Process of `rank` among those that have `mark` on their command line; 0 if there is none yet.
pid_t find_rank(const std::string& mark, int rank) {
  const std::string wanted = "OMPI_COMM_WORLD_RANK=" + std::to_string(rank);
  for (const auto& entry : fs::directory_iterator("/proc")) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    std::ifstream command(entry.path() / "cmdline"), environment(entry.path() / "environ");
    const std::string words{std::istreambuf_iterator<char>(command), {}};
    const std::string variables{std::istreambuf_iterator<char>(environment), {}};
    if (words.starts_with(program()) && words.find(mark) != std::string::npos &&
        variables.find(wanted + '\0') != std::string::npos)
      return std::stoi(name);
  }
  return 0;
}

class LostRank : public ::testing::Test {
 protected:
  // A run of many rounds on three ranks, one of which gets `signal` once the first results are there.
  Finished run_and_signal(int rank, int signal, const Words& words) {
    std::string lines;
    for (int i = 0; i < 20000; ++i) lines += "{\"prompt\":\"Madrid\"}\n";
    write_file(folder_ / "in.jsonl", lines);
    const std::string output = folder_ / "out.jsonl";
    auto run = std::async(std::launch::async, [&] {
      return run_optpipe(generate({"--input", folder_ / "in.jsonl", "--output", output, "--ignore-eos",
                                   "--gpu-batch-size", "2"}) +
                             words,
                         {.ranks = 3, .seconds = 40});
    });
    std::error_code ignored;
    for (int i = 0; i < 2000 && !(fs::file_size(output, ignored) > 0 && !ignored); ++i)
      std::this_thread::sleep_for(10ms);
    const pid_t process = find_rank(folder_.path(), rank);
    EXPECT_GT(process, 0) << "no such process";
    EXPECT_EQ(process > 0 ? kill(process, signal) : -1, 0);
    const auto begin = std::chrono::steady_clock::now();
    auto finished = run.get();
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 20s);
    EXPECT_LT(json_lines_written(output), 20000);
    return finished;
  }

  static int json_lines_written(const std::string& path) {
    const std::string text = read_file(path);
    return static_cast<int>(std::ranges::count(text, '\n'));
  }

  Folder folder_;
};

TEST_F(LostRank, KilledInTheMiddle) {
  const auto finished = run_and_signal(1, SIGKILL, {});
  EXPECT_NE(finished.status, 0);
  EXPECT_NE(finished.status, 124) << "the run hung";
  EXPECT_THAT(finished.err, ::testing::HasSubstr("Killed"));  // mpirun says so
}

TEST_F(LostRank, SilentForTooLong) {
  const auto finished = run_and_signal(1, SIGSTOP, {"--comm-timeout", "4"});
  EXPECT_EQ(finished.status, 5) << finished.err;
  ASSERT_FALSE(error_lines(finished.err).empty()) << finished.err;
  for (const auto& line : error_lines(finished.err))
    EXPECT_THAT(line, ::testing::HasSubstr("--comm-timeout"));
}

}  // namespace
}  // namespace optpipe::test
