// Checksums of what was written to a file, by the ranges in which it was written.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <span>

#include "optpipe/base/units.hpp"

namespace optpipe::memory {

// A read may cover many ranges: rows of keys are written one by one and read together. Each range that lies
// wholly in a read is checked. Calls may be concurrent.
class RangeChecksums {
 public:
  void record(Bytes offset, std::span<const std::byte> data);  // ranges that overlap it are forgotten
  // Offset of the first range whose bytes differ from what was written, or `none`.
  static constexpr Bytes none = ~Bytes{0};
  Bytes find_difference(Bytes offset, std::span<const std::byte> data) const;

 private:
  struct Range {
    Bytes bytes = 0;
    std::uint32_t checksum = 0;  // CRC-32 as in zip files
  };
  mutable std::mutex mutex_;
  std::map<Bytes, Range> ranges_;
};

}  // namespace optpipe::memory
