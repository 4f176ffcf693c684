// A container may refuse io_uring: threads do the work then.
#include <gtest/gtest.h>
#include <seccomp.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "optpipe/memory/disk_file.hpp"

namespace optpipe::memory {
namespace {

constexpr int kWorks = 0, kNoFilter = 1, kStillUring = 2, kWrongBytes = 3;

int run_without_uring() {
  scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
  if (filter == nullptr ||
      seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(io_uring_setup), 0) != 0 ||
      seccomp_load(filter) != 0)
    return kNoFilter;
  DiskFile file(testing::TempDir(), 1 << 20);
  if (file.describe().find("threads") == std::string::npos) return kStillUring;
  const std::vector<std::byte> data(100000, std::byte{9});
  std::vector<std::byte> back(100000);
  file.write(0, data);
  file.read(0, back);
  return back == data ? kWorks : kWrongBytes;
}

TEST(RefusedUring, ThreadsDoTheWork) {
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) _exit(run_without_uring());
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == kNoFilter)
    GTEST_SKIP() << "this system lets no process install a seccomp filter";
  EXPECT_EQ(WEXITSTATUS(status), kWorks);
}

}  // namespace
}  // namespace optpipe::memory
