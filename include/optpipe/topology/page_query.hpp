// Where pages really lie: what the kernel says after the fact.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "optpipe/base/units.hpp"

namespace optpipe::topology {

// Pages seen on each NUMA node, by the operating system's numbers.
using PageCounts = std::map<int, std::uint64_t>;

// Of a block of touched pages, by move_pages on a sample of at most kSampledPages, evenly spread; where the
// kernel refuses that, by /proc/self/numa_maps. Nothing where neither answers.
inline constexpr std::size_t kSampledPages = 1024;
std::optional<PageCounts> locate_pages(std::span<const std::byte> pages);

// The same from a text like that of /proc/self/numa_maps: of the mappings that begin in, or hold the begin
// of, [begin, begin + bytes). Neighbours that the kernel has merged with it count along.
PageCounts read_numa_maps(std::string_view text, std::uintptr_t begin, Bytes bytes);

// What can be had of `node` without pushing anything but cached files out of it: free pages and page cache.
// Nothing where the system does not say.
std::optional<Bytes> available_on_node(int node);

}  // namespace optpipe::topology
