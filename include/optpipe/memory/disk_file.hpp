// The disk tier: one preallocated file a rank, without a name, so that nothing is left behind however the run
// ends.
#pragma once

#include <atomic>
#include <filesystem>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "optpipe/base/units.hpp"

namespace optpipe::memory {

class DiskEngine;
class RangeChecksums;

// Blocks begin at multiples of this, in the file and in the memory that they are staged in: what direct
// access to a disk asks for.
inline constexpr Bytes kDiskAlignment = 4096;
constexpr Bytes disk_aligned(Bytes bytes) { return round_up(bytes, kDiskAlignment); }

struct DiskOptions {
  bool checksums = false;  // of all that is written, checked as it is read
  bool direct = true;      // O_DIRECT, where the file system has it
  bool uring = true;       // io_uring, where the kernel has it
};

struct DiskRange {
  Bytes offset = 0;
  std::span<std::byte> memory;
};
struct ConstDiskRange {
  Bytes offset = 0;
  std::span<const std::byte> memory;
};

// Whole pages (of kDiskAlignment) go directly between disk and memory where `memory` and `offset` have the
// same remainder by it; other bytes go through the page cache. A page is one or the other as the writes to it
// are: one that two blocks share is never written whole, one of a single block sees its writes in order. So
// no page is written both ways at the same time, and the kernel keeps the two views of it together.
//
// One thread may read while another writes other ranges. Failures are SystemErrors that name folder, offset
// and cause.
class DiskFile {
 public:
  // Creates an unnamed file of `capacity` bytes in `directory` and reserves its space. Throws CapacityError
  // where the disk has not that much room, InputError where the directory cannot be written to.
  DiskFile(const std::filesystem::path& directory, Bytes capacity, const DiskOptions& options = {});
  ~DiskFile();
  DiskFile(const DiskFile&) = delete;
  DiskFile& operator=(const DiskFile&) = delete;

  Bytes take(Bytes bytes);  // offset of the next `bytes`, at a multiple of kDiskAlignment
  Bytes capacity() const { return capacity_; }
  Bytes bytes_on_disk() const;   // blocks that the file occupies
  std::string describe() const;  // "O_DIRECT, io_uring"

  // All ranges at once, many pieces of them under way together.
  void read(std::span<const DiskRange> ranges);
  void write(std::span<const ConstDiskRange> ranges);
  void read(Bytes offset, std::span<std::byte> memory);
  void write(Bytes offset, std::span<const std::byte> memory);
  // A few bytes through the page cache, from any thread.
  void read_cached(Bytes offset, std::span<std::byte> memory) const;

  Bytes bytes_read() const { return bytes_read_; }
  Bytes bytes_written() const { return bytes_written_; }
  int descriptor() const { return buffered_; }  // for tests that damage the file

 private:
  void open_direct();
  void close_all() noexcept;
  template <class Action>
  void explain(Action action) const;

  std::string directory_;
  Bytes capacity_ = 0;
  Bytes used_ = 0;
  int buffered_ = -1, direct_ = -1;
  std::string obstacles_;  // why something slower than the best is used
  std::unique_ptr<DiskEngine> reader_, writer_;
  std::mutex reading_, writing_;
  std::unique_ptr<RangeChecksums> checksums_;
  std::atomic<Bytes> bytes_read_{0}, bytes_written_{0};
};

}  // namespace optpipe::memory
