#include "optpipe/memory/budget.hpp"

#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include <cerrno>
#include <cstring>
#include <sstream>

#include "memory/cgroup.hpp"
#include "optpipe/base/error.hpp"

namespace optpipe::memory {
namespace {

namespace fs = std::filesystem;

// Value of the line "KEY value ..." or "KEY: value ..."; 0 where there is none.
Bytes value_of(const std::string& text, const std::string& key) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string name;
    Bytes value = 0;
    if (words >> name >> value && (name == key || name == key + ":")) return value;
  }
  return 0;
}

}  // namespace

Budget host_memory_left(const fs::path& root) {
  const auto meminfo = read_text(root / "proc/meminfo").value_or("");
  Budget left{value_of(meminfo, "MemAvailable") * kKiB, "MemAvailable"};
  if (left.bytes == 0) left = {value_of(meminfo, "MemFree") * kKiB, "MemFree"};
  for (const CgroupLimit& limit : cgroup_limits(root))
    if (limit.left() < left.bytes)
      left = {limit.left(), fmt::format("limit {} of cgroup {}", format_bytes(limit.limit), limit.name)};
  return left;
}

bool host_memory_grows(const fs::path& root) {
  const auto vmstat = read_text(root / "proc/vmstat").value_or("");
  return value_of(vmstat, "balloon_inflate") > value_of(vmstat, "balloon_deflate");
}

DiskSpace disk_space_left(const fs::path& directory) {
  fs::path existing = fs::absolute(directory).lexically_normal();
  struct stat status {};
  while (stat(existing.c_str(), &status) != 0) {
    if (existing == existing.parent_path() || errno != ENOENT)
      throw InputError(
          fmt::format("cannot use {} for the disk tier: {}; name a writable folder with --offload-dir",
                      directory.string(), std::strerror(errno)));
    existing = existing.parent_path();
  }
  struct statfs space {};
  if (statfs(existing.c_str(), &space) != 0) throw_errno(fmt::format("statfs({})", existing.string()));
  const bool in_memory = space.f_type == TMPFS_MAGIC || space.f_type == RAMFS_MAGIC;
  return {{static_cast<Bytes>(space.f_bavail) * static_cast<Bytes>(space.f_bsize),
           fmt::format("free in {}", directory.string())},
          fmt::format("{}", status.st_dev),
          in_memory};
}

ProcessMemory process_memory(const fs::path& root) {
  const auto status = read_text(root / "proc/self/status").value_or("");
  ProcessMemory memory{value_of(status, "VmRSS") * kKiB, value_of(status, "VmHWM") * kKiB};
  if (memory.peak == 0) {  // sandboxes leave the line out
    rusage usage{};
    if (getrusage(RUSAGE_SELF, &usage) == 0) memory.peak = static_cast<Bytes>(usage.ru_maxrss) * kKiB;
  }
  return memory;
}

}  // namespace optpipe::memory
