#include "optpipe/topology/page_query.hpp"

#include <fmt/format.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <charconv>
#include <fstream>
#include <iterator>
#include <sstream>
#include <vector>

namespace optpipe::topology {
namespace {

constexpr std::uintptr_t kPage = 4096;

std::optional<std::string> read_text(const std::string& path) {
  std::ifstream file(path);
  if (!file) return std::nullopt;
  std::string text(std::istreambuf_iterator<char>(file), {});
  return file.bad() ? std::nullopt : std::optional(std::move(text));
}

std::optional<PageCounts> ask_move_pages(std::span<const std::byte> pages) {
  const std::size_t all = (pages.size() + kPage - 1) / kPage;
  const std::size_t count = std::min(all, kSampledPages);
  std::vector<void*> addresses(count);
  for (std::size_t i = 0; i < count; ++i)
    addresses[i] = const_cast<std::byte*>(pages.data() + i * all / count * kPage);
  std::vector<int> nodes(count, -1);
  // Without target nodes the call moves nothing and reports where each page is.
  if (syscall(SYS_move_pages, 0, count, addresses.data(), nullptr, nodes.data(), 0) != 0) return std::nullopt;
  PageCounts counts;
  for (const int node : nodes)
    if (node >= 0) ++counts[node];  // negative: the errno of a page that is not there
  return counts;
}

}  // namespace

PageCounts read_numa_maps(std::string_view text, std::uintptr_t begin, Bytes bytes) {
  PageCounts counts;
  PageCounts pending;  // of the newest mapping below `begin`, which may reach into the block
  std::istringstream lines{std::string(text)};
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string word;
    words >> word;
    std::uintptr_t start = 0;
    if (std::from_chars(word.data(), word.data() + word.size(), start, 16).ec != std::errc{}) continue;
    if (start >= begin + bytes) break;
    PageCounts own;
    while (words >> word) {
      int node = 0;
      std::uint64_t number = 0;
      const auto equals = word.find('=');
      if (word[0] != 'N' || equals == std::string::npos) continue;
      const auto name = std::from_chars(word.data() + 1, word.data() + equals, node);
      const auto value = std::from_chars(word.data() + equals + 1, word.data() + word.size(), number);
      if (name.ec == std::errc{} && name.ptr == word.data() + equals && value.ec == std::errc{})
        own[node] = number;
    }
    if (start <= begin) {
      pending = std::move(own);
    } else {
      for (const auto& [node, number] : own) counts[node] += number;
    }
  }
  for (const auto& [node, number] : pending) counts[node] += number;
  return counts;
}

std::optional<PageCounts> locate_pages(std::span<const std::byte> pages) {
  if (auto counts = ask_move_pages(pages)) return counts;
  if (const auto maps = read_text("/proc/self/numa_maps"))
    return read_numa_maps(*maps, reinterpret_cast<std::uintptr_t>(pages.data()), pages.size());
  return std::nullopt;
}

std::optional<Bytes> available_on_node(int node) {
  const auto text = read_text(fmt::format("/sys/devices/system/node/node{}/meminfo", node));
  if (!text) return std::nullopt;
  Bytes kilobytes = 0;
  bool found = false;
  std::istringstream lines(*text);  // "Node 0 MemFree:  123456 kB"
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string label, index, name;
    Bytes value = 0;
    if (!(words >> label >> index >> name >> value)) continue;
    if (name != "MemFree:" && name != "Active(file):" && name != "Inactive(file):") continue;
    kilobytes += value;
    found = true;
  }
  return found ? std::optional(kilobytes * kKiB) : std::nullopt;
}

}  // namespace optpipe::topology
