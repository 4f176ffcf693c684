#include "memory/cgroup.hpp"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <sstream>
#include <string_view>

namespace optpipe::memory {
namespace {

namespace fs = std::filesystem;

constexpr Bytes kNoLimit = Bytes{1} << 60;  // version 1 writes "none" as the largest multiple of a page

struct Version {
  const char* limits[2];  // the lowest of these counts
  const char* usage;
  const char* droppable[2];  // lines of memory.stat
};
constexpr Version kVersion1{{"memory.limit_in_bytes", nullptr},
                            "memory.usage_in_bytes",
                            {"total_inactive_file", "total_active_file"}};
// Above memory.high a group is slowed down until it is of no use.
constexpr Version kVersion2{
    {"memory.max", "memory.high"}, "memory.current", {"inactive_file", "active_file"}};

std::vector<std::string> words_of(const std::string& line) {
  std::istringstream in(line);
  std::vector<std::string> words;
  for (std::string word; in >> word;) words.push_back(word);
  return words;
}

bool lists(const std::string& list, const std::string& item) {  // between commas
  return ("," + list + ",").find("," + item + ",") != std::string::npos;
}

// "max", and whatever is no number, is none.
std::optional<Bytes> number(const std::optional<std::string>& text) {
  Bytes value = 0;
  if (!text || std::from_chars(text->data(), text->data() + text->size(), value).ec != std::errc{})
    return std::nullopt;
  return value;
}

Bytes stat_value(const std::string& stat, std::string_view name) {
  std::istringstream in(stat);
  std::string key;
  for (Bytes value = 0; in >> key >> value;)
    if (key == name) return value;
  return 0;
}

std::optional<CgroupLimit> limit_of(const fs::path& directory, const Version& version) {
  CgroupLimit found{{}, kNoLimit, 0};
  for (const char* name : version.limits)
    if (name != nullptr)
      found.limit = std::min(found.limit, number(read_text(directory / name)).value_or(kNoLimit));
  if (found.limit >= kNoLimit) return std::nullopt;
  found.in_use = number(read_text(directory / version.usage)).value_or(0);
  const auto stat = read_text(directory / "memory.stat").value_or("");
  Bytes droppable = 0;
  for (const char* name : version.droppable) droppable += stat_value(stat, name);
  found.in_use -= std::min(found.in_use, droppable);
  return found;
}

// Where a hierarchy is mounted, and which of its groups is seen there.
struct Mount {
  fs::path group, point;
  const Version* version;
};

// Lines such as "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw".
std::vector<Mount> find_mounts(const fs::path& root) {
  std::vector<Mount> mounts;
  std::istringstream lines(read_text(root / "proc/self/mountinfo").value_or(""));
  for (std::string line; std::getline(lines, line);) {
    const auto words = words_of(line);
    const auto dash = std::ranges::find(words, "-");
    if (words.size() < 6 || words.end() - dash < 4) continue;
    if (dash[1] == "cgroup2")
      mounts.push_back({words[3], words[4], &kVersion2});
    else if (dash[1] == "cgroup" && lists(dash[3], "memory"))
      mounts.push_back({words[3], words[4], &kVersion1});
  }
  return mounts;
}

// Lines such as "4:memory:/jobs/7" (version 1) and "0::/user.slice" (version 2).
std::optional<fs::path> group_of_process(const fs::path& root, const Version& version) {
  std::istringstream lines(read_text(root / "proc/self/cgroup").value_or(""));
  for (std::string line; std::getline(lines, line);) {
    const auto first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const auto controllers = line.substr(first + 1, second - first - 1);
    const bool fits = &version == &kVersion2 ? line.starts_with("0::") : lists(controllers, "memory");
    if (fits) return fs::path(line.substr(second + 1));
  }
  return std::nullopt;
}

// The group's path below the mount. Outside of what is mounted (a container that sees another part of the
// hierarchy), the mount's own group is the nearest that can be read.
fs::path below(const fs::path& group, const fs::path& mounted) {
  const fs::path relative = group.lexically_relative(mounted);
  const bool inside = !relative.empty() && *relative.begin() != "..";
  return inside && relative != "." ? relative : fs::path();
}

}  // namespace

std::optional<std::string> read_text(const fs::path& file) {
  std::ifstream in(file);
  if (!in) return std::nullopt;
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

std::vector<CgroupLimit> cgroup_limits(const fs::path& root) {
  std::vector<CgroupLimit> limits;
  for (const Mount& mount : find_mounts(root)) {
    const auto group = group_of_process(root, *mount.version);
    if (!group) continue;
    for (fs::path path = below(*group, mount.group);; path = path.parent_path()) {
      auto limit = limit_of(root / mount.point.relative_path() / path, *mount.version);
      if (limit) {
        limit->name = "/" + path.string();
        limits.push_back(*std::move(limit));
      }
      if (path.empty()) break;
    }
  }
  return limits;
}

}  // namespace optpipe::memory
