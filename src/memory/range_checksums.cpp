#include "memory/range_checksums.hpp"

#include <zlib.h>

#include <iterator>

namespace optpipe::memory {
namespace {

std::uint32_t checksum_of(std::span<const std::byte> data) {
  return static_cast<std::uint32_t>(
      crc32_z(0, reinterpret_cast<const unsigned char*>(data.data()), data.size()));
}

}  // namespace

void RangeChecksums::record(Bytes offset, std::span<const std::byte> data) {
  const Range range{data.size(), checksum_of(data)};
  const std::lock_guard lock(mutex_);
  auto first = ranges_.lower_bound(offset);
  if (first != ranges_.begin()) {
    const auto before = std::prev(first);
    if (before->first + before->second.bytes > offset) first = before;
  }
  ranges_.erase(first, ranges_.lower_bound(offset + data.size()));
  ranges_.emplace(offset, range);
}

Bytes RangeChecksums::find_difference(Bytes offset, std::span<const std::byte> data) const {
  const std::lock_guard lock(mutex_);
  for (auto at = ranges_.lower_bound(offset); at != ranges_.end(); ++at) {
    const auto& [begin, range] = *at;
    if (begin + range.bytes > offset + data.size()) break;
    if (checksum_of(data.subspan(begin - offset, range.bytes)) != range.checksum) return begin;
  }
  return none;
}

}  // namespace optpipe::memory
