// The disk tier: one preallocated file a rank, without a name, so that nothing is left behind however the run
// ends.
#pragma once

#include <filesystem>
#include <span>
#include <string>

#include "optpipe/base/units.hpp"

namespace optpipe::memory {

// read() and write() may run concurrently on different ranges. Both throw SystemError with the file, the
// offset and the cause.
class DiskFile {
 public:
  // Creates an unnamed file of `capacity` bytes in `directory` and reserves its space. Throws CapacityError
  // where the disk has not that much room, InputError where the directory cannot be written to.
  DiskFile(const std::filesystem::path& directory, Bytes capacity);
  ~DiskFile();
  DiskFile(const DiskFile&) = delete;
  DiskFile& operator=(const DiskFile&) = delete;

  Bytes take(Bytes bytes);  // offset of the next `bytes`, aligned
  void reset() { used_ = 0; }
  void read(Bytes offset, std::span<std::byte> out) const;
  void write(Bytes offset, std::span<const std::byte> data);
  Bytes capacity() const { return capacity_; }

 private:
  std::string directory_;
  Bytes capacity_ = 0;
  Bytes used_ = 0;
  int descriptor_ = -1;
};

}  // namespace optpipe::memory
