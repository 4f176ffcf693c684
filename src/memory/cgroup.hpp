// The control groups that limit this process's memory.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "optpipe/base/units.hpp"

namespace optpipe::memory {

// One group with a limit.
struct CgroupLimit {
  std::string name;  // its path below the hierarchy's mount, for messages
  Bytes limit = 0;
  Bytes in_use = 0;  // without page cache that the kernel can drop

  Bytes left() const { return limit > in_use ? limit - in_use : 0; }
};

// All limits on this process: of its groups and of their ancestors, in version 1 and 2 hierarchies, as far as
// they are mounted where the process sees them.
std::vector<CgroupLimit> cgroup_limits(const std::filesystem::path& root);

// The whole of a small file; nothing where it cannot be read.
std::optional<std::string> read_text(const std::filesystem::path& file);

}  // namespace optpipe::memory
