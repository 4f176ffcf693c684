// Budgets from planted files: what the kernel of some other machine would show.
#include "optpipe/memory/budget.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "memory/cgroup.hpp"
#include "optpipe/base/error.hpp"

namespace optpipe::memory {
namespace {

namespace fs = std::filesystem;

class PlantedRoot {
 public:
  PlantedRoot() {
    std::string name = (fs::temp_directory_path() / "optpipe-root-XXXXXX").string();
    root_ = mkdtemp(name.data());
    write("proc/meminfo",
          "MemTotal:       33554432 kB\nMemFree:        1048576 kB\nMemAvailable:   20971520 kB\n");
  }
  ~PlantedRoot() { fs::remove_all(root_); }
  PlantedRoot(const PlantedRoot&) = delete;
  PlantedRoot& operator=(const PlantedRoot&) = delete;

  void write(const fs::path& file, const std::string& text) const {
    fs::create_directories((root_ / file).parent_path());
    std::ofstream(root_ / file) << text;
  }
  // A group of version 1, or of version 2.
  void group1(const std::string& path, const std::string& limit, Bytes usage, Bytes cache = 0) const {
    const fs::path directory = "sys/fs/cgroup/memory/" + path;
    write(directory / "memory.limit_in_bytes", limit);
    write(directory / "memory.usage_in_bytes", std::to_string(usage));
    write(directory / "memory.stat", "cache 1\ninactive_file 77\ntotal_inactive_file " +
                                         std::to_string(cache / 2) + "\ntotal_active_file " +
                                         std::to_string(cache - cache / 2) + "\n");
  }
  void group2(const std::string& path, const std::string& most, const std::string& high, Bytes usage,
              Bytes cache = 0) const {
    const fs::path directory = "sys/fs/cgroup/" + path;
    write(directory / "memory.max", most);
    write(directory / "memory.high", high);
    write(directory / "memory.current", std::to_string(usage));
    write(directory / "memory.stat", "anon 5\ninactive_file " + std::to_string(cache) + "\nactive_file 0\n");
  }
  operator const fs::path&() const { return root_; }

 private:
  fs::path root_;
};

constexpr const char* kUnlimited1 = "9223372036854771712\n";
constexpr const char* kMounts1 =
    "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n"
    "35 31 0:32 / /sys/fs/cgroup/cpu rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
    "36 31 0:33 / /sys/fs/cgroup/memory rw,relatime shared:10 - cgroup cgroup rw,memory\n";
constexpr const char* kMounts2 =
    "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";

TEST(HostBudget, IsWhatTheKernelCallsAvailableWhereNothingLimits) {
  const PlantedRoot root;
  const Budget left = host_memory_left(root);
  EXPECT_EQ(left.bytes, 20 * kGiB);
  EXPECT_EQ(left.source, "MemAvailable");
}

TEST(HostBudget, HonoursVersion1) {
  const PlantedRoot root;
  root.write("proc/self/mountinfo", kMounts1);
  root.write("proc/self/cgroup", "5:cpu,cpuacct:/other\n4:memory:/jobs/7\n0::/\n");
  root.group1("", kUnlimited1, 30 * kGiB);
  root.group1("jobs", kUnlimited1, 4 * kGiB);
  root.group1("jobs/7", std::to_string(8 * kGiB), 3 * kGiB, 1 * kGiB);
  const Budget left = host_memory_left(root);
  EXPECT_EQ(left.bytes, 6 * kGiB);  // page cache of 1 GiB can go
  EXPECT_EQ(left.source, "limit 8.000 GiB of cgroup /jobs/7");
}

TEST(HostBudget, HonoursVersion2AndItsAncestors) {
  const PlantedRoot root;
  root.write("proc/self/mountinfo", kMounts2);
  root.write("proc/self/cgroup", "0::/slurm/job_9/step_0\n");
  root.group2("slurm", "max\n", "max\n", 9 * kGiB);
  root.group2("slurm/job_9", std::to_string(10 * kGiB), "max\n", 7 * kGiB);  // others of the job took most
  root.group2("slurm/job_9/step_0", std::to_string(8 * kGiB), "max\n", 1 * kGiB);
  const Budget left = host_memory_left(root);
  EXPECT_EQ(left.bytes, 3 * kGiB);
  EXPECT_EQ(left.source, "limit 10.000 GiB of cgroup /slurm/job_9");
}

TEST(HostBudget, MemoryHighLimitsToo) {
  const PlantedRoot root;
  root.write("proc/self/mountinfo", kMounts2);
  root.write("proc/self/cgroup", "0::/a\n");
  root.group2("a", std::to_string(8 * kGiB), std::to_string(5 * kGiB), 1 * kGiB);
  EXPECT_EQ(host_memory_left(root).bytes, 4 * kGiB);
}

TEST(HostBudget, HybridHierarchiesBothCount) {
  const PlantedRoot root;
  root.write("proc/self/mountinfo",
             std::string(kMounts1) + "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
  root.write("proc/self/cgroup", "4:memory:/v1\n0::/v2\n");
  root.group1("v1", std::to_string(9 * kGiB), 0);
  root.group2("unified/v2", std::to_string(7 * kGiB), "max", 0);
  EXPECT_EQ(host_memory_left(root).bytes, 7 * kGiB);
  root.group1("v1", std::to_string(2 * kGiB), 0);
  EXPECT_EQ(host_memory_left(root).bytes, 2 * kGiB);
}

// A container sees its own group as the root of the mount, whatever path its processes are told.
TEST(HostBudget, ContainersSeeTheirPartOfTheHierarchy) {
  const PlantedRoot root;
  root.write("proc/self/mountinfo",
             "36 31 0:33 /docker/c0ffee /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n");
  root.group1("", std::to_string(6 * kGiB), 1 * kGiB);
  root.group1("inner", std::to_string(4 * kGiB), 1 * kGiB);
  root.write("proc/self/cgroup", "4:memory:/docker/c0ffee\n");
  EXPECT_EQ(host_memory_left(root).bytes, 5 * kGiB);
  root.write("proc/self/cgroup", "4:memory:/docker/c0ffee/inner\n");
  EXPECT_EQ(host_memory_left(root).bytes, 3 * kGiB);
  root.write("proc/self/cgroup", "4:memory:/../elsewhere\n");
  EXPECT_EQ(host_memory_left(root).bytes, 5 * kGiB);
}

TEST(HostBudget, NothingIsLeftOfALimitThatIsExceeded) {
  const PlantedRoot root;
  root.write("proc/self/mountinfo", kMounts2);
  root.write("proc/self/cgroup", "0::/a\n");
  root.group2("a", std::to_string(1 * kGiB), "max", 2 * kGiB);
  EXPECT_EQ(host_memory_left(root).bytes, 0U);
}

TEST(HostBudget, WhatCannotBeReadDoesNotLimit) {
  const PlantedRoot root;
  root.write("proc/self/mountinfo", std::string(kMounts1) + "broken line\n1 2 3 4 5 6 - cgroup2\n");
  root.write("proc/self/cgroup", "4:memory:/gone\nnonsense\n:\n");
  EXPECT_EQ(host_memory_left(root).bytes, 20 * kGiB);
  root.group1("gone", "what?", 5);
  EXPECT_EQ(host_memory_left(root).bytes, 20 * kGiB);
}

TEST(HostBudget, ABalloonMakesMemoryGrow) {
  const PlantedRoot root;
  EXPECT_FALSE(host_memory_grows(root));
  root.write("proc/vmstat", "nr_free_pages 5\nballoon_inflate 100\nballoon_deflate 100\n");
  EXPECT_FALSE(host_memory_grows(root));
  root.write("proc/vmstat", "balloon_inflate 100\nballoon_deflate 60\n");
  EXPECT_TRUE(host_memory_grows(root));
}

// A real group, with a limit that a child of this process lives under.
TEST(HostBudget, HonoursARealGroup) {
  const fs::path version1 = "/sys/fs/cgroup/memory", version2 = "/sys/fs/cgroup";
  const bool one = fs::exists(version1 / "memory.limit_in_bytes");
  const auto controllers = read_text(version2 / "cgroup.subtree_control").value_or("");
  if (geteuid() != 0 || (!one && controllers.find("memory") == std::string::npos))
    GTEST_SKIP() << "no control group can be made here: it takes root and a memory controller";
  const fs::path group = (one ? version1 : version2) / ("optpipe-test-" + std::to_string(getpid()));
  std::error_code error;
  if (!fs::create_directory(group, error))
    GTEST_SKIP() << "no control group can be made here: " << error.message();
  std::ofstream(group / (one ? "memory.limit_in_bytes" : "memory.max")) << 64 * kMiB << std::flush;
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    std::ofstream(group / "cgroup.procs") << getpid() << std::flush;
    const Budget left = host_memory_left();
    const bool in_limit = left.bytes <= 64 * kMiB && left.bytes > 32 * kMiB;
    _exit(in_limit && left.source.find("optpipe-test-") != std::string::npos ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  fs::remove(group, error);  // of an empty group; its files are the kernel's
  rmdir(group.c_str());
  EXPECT_EQ(status, 0);
}

TEST(DiskSpace, IsThatOfTheNearestFolder) {
  const auto here = disk_space_left(fs::temp_directory_path());
  EXPECT_GT(here.left.bytes, 0U);
  const auto below = disk_space_left(fs::temp_directory_path() / "not" / "there");
  EXPECT_EQ(below.file_system, here.file_system);
  EXPECT_THROW(disk_space_left("/proc/self/status/x"), Error);
}

TEST(ProcessMemory, GrowsWithWhatIsTouched) {
  const auto before = process_memory();
  EXPECT_GT(before.now, 0U);
  EXPECT_GE(before.peak, before.now);
  const std::vector<char> touched(32 * kMiB, 'x');
  EXPECT_GE(process_memory().now + kMiB, before.now + touched.size());
}

}  // namespace
}  // namespace optpipe::memory
