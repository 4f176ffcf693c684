// What this machine has left: of its node's memory, and of the disk that holds the offload file.
#pragma once

#include <filesystem>
#include <string>

#include "optpipe/base/units.hpp"

namespace optpipe::memory {

struct Budget {
  Bytes bytes = 0;
  std::string source;  // what says so: "MemAvailable", "the limit of cgroup /slurm/job_7", "--host-mem"
};

// The least of what the kernel calls available and what each control group of this process, and each of
// their ancestors (v1 and v2), leaves of its limit; page cache that the kernel can drop counts as free.
// Everything is read below `root`, for tests. What cannot be read does not limit.
Budget host_memory_left(const std::filesystem::path& root = "/");

// Whether the machine may get more memory than it shows while it runs: a balloon that holds some of it, or a
// sandbox that shows no more than what is in use. Then MemAvailable is not the last word.
bool host_memory_grows(const std::filesystem::path& root = "/");

struct DiskSpace {
  Budget left;
  std::string file_system;  // the same for two directories of a machine exactly where they share space
  bool in_memory = false;   // tmpfs: what is stored there takes the node's memory
};

// For a folder that need not exist yet. Throws InputError where its path cannot be followed.
DiskSpace disk_space_left(const std::filesystem::path& directory);

// Host memory of this process (VmRSS, VmHWM).
struct ProcessMemory {
  Bytes now = 0, peak = 0;
};
ProcessMemory process_memory(const std::filesystem::path& root = "/");

}  // namespace optpipe::memory
