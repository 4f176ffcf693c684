// Ranks that die or fall silent in the middle of a run: the others end, soon, and leave nothing behind.
#include <signal.h>
#include <sys/mount.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>

#include "cli/running.hpp"

namespace optpipe::test {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

class LostRank : public ::testing::Test {
 protected:
  // A run of many rounds on three ranks, one of which gets `signal` once the first prompts are finished.
  Finished run_and_signal(int rank, int signal, const Words& words) {
    std::string lines;
    for (int i = 0; i < 20000; ++i) lines += "{\"prompt\":\"Madrid\"}\n";
    write_file(folder_ / "in.jsonl", lines);
    const std::string output = folder_ / "out.jsonl";
    Running run(generate({"--input", folder_ / "in.jsonl", "--output", output, "--ignore-eos",
                          "--gpu-batch-size", "2"}) +
                    words,
                {.ranks = 3, .seconds = 40}, folder_.path());
    run.wait_for_prompts(output, 1);
    run.send(run.process(rank), signal);
    auto finished = run.wait();
    seconds_ = run.seconds_since_signal();
    EXPECT_LT(seconds_, 20);
    EXPECT_LT(journaled_prompts(output), 20000);
    EXPECT_FALSE(std::filesystem::exists(output)) << "an output that is there is whole";
    EXPECT_THAT(run.left_behind(), IsEmpty());
    return finished;
  }

  Folder folder_;
  double seconds_ = 0;
};

TEST_F(LostRank, KilledInTheMiddle) {
  for (const int rank : {0, 1, 2}) {
    const auto finished = run_and_signal(rank, SIGKILL, {});
    EXPECT_NE(finished.status, 0);
    EXPECT_NE(finished.status, 124) << "the run hung";
    EXPECT_THAT(finished.err, HasSubstr("Killed"));  // mpirun says so
    std::filesystem::remove(folder_ / "out.jsonl.journal");
  }
}

TEST_F(LostRank, SilentForTooLong) {
  const auto finished = run_and_signal(1, SIGSTOP, {"--comm-timeout", "4"});
  EXPECT_EQ(finished.status, 5) << finished.err;
  ASSERT_FALSE(error_lines(finished.err).empty()) << finished.err;
  for (const auto& line : error_lines(finished.err))
    for (const std::string part : {"error: rank ", " on ", "waited 4 s", "--comm-timeout", "stage of layers ",
                                   "micro-batch ", "token step "})
      EXPECT_THAT(line, HasSubstr(part));
}

// mpirun may end a moment before the kernel has cleared away a rank that it killed. 10 s at most.
bool unmount(const std::string& folder) {
  for (int i = 0; i < 100; ++i) {
    if (umount(folder.c_str()) == 0) return true;
    if (errno != EBUSY) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  return false;
}

TEST_F(LostRank, AFullDiskUnderWay) {
  const std::string disk = folder_ / "disk", output = disk + "/out.jsonl";
  std::filesystem::create_directory(disk);
  if (mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=16k") != 0)
    GTEST_SKIP() << "mounting a small disk takes root: " << std::strerror(errno);
  std::string lines;
  for (int i = 0; i < 2000; ++i) lines += "{\"prompt\":\"Madrid\"}\n";
  write_file(folder_ / "in.jsonl", lines);
  const auto finished = run_optpipe(
      generate({"--input", folder_ / "in.jsonl", "--output", output, "--gpu-batch-size", "2"}), {.ranks = 3});
  EXPECT_EQ(finished.status, 1) << finished.err;
  ASSERT_EQ(error_lines(finished.err).size(), 1u) << finished.err;
  for (const std::string part : {"rank 0 on ", "out.jsonl.journal failed: No space left"})
    EXPECT_THAT(error_lines(finished.err)[0], HasSubstr(part));
  EXPECT_GT(journaled_prompts(output), 0);
  EXPECT_FALSE(std::filesystem::exists(output));
  EXPECT_TRUE(unmount(disk)) << "a process holds files of " << disk << ": " << std::strerror(errno);
}

}  // namespace
}  // namespace optpipe::test
