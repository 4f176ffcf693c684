#include "optpipe/memory/disk_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "optpipe/base/check.hpp"
#include "optpipe/base/error.hpp"
#include "optpipe/memory/arena.hpp"

namespace optpipe::memory {
namespace {

// O_TMPFILE where the file system has it; elsewhere a named file that is unlinked at once.
int open_unnamed(const std::filesystem::path& directory) {
  int descriptor = open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (descriptor >= 0) return descriptor;
  std::string name = (directory / "optpipe-offload-XXXXXX").string();
  descriptor = mkostemp(name.data(), O_CLOEXEC);
  if (descriptor >= 0) unlink(name.c_str());
  return descriptor;
}

}  // namespace

DiskFile::DiskFile(const std::filesystem::path& directory, Bytes capacity)
    : directory_(directory.string()), capacity_(capacity) {
  if (capacity == 0) return;
  std::error_code ignored;  // an existing directory is no error, and any real one shows at open
  std::filesystem::create_directories(directory, ignored);
  descriptor_ = open_unnamed(directory);
  if (descriptor_ < 0)
    throw InputError(
        fmt::format("cannot create an offload file in {}: {}; name a writable folder with --offload-dir",
                    directory_, std::strerror(errno)));
  if (const int error = posix_fallocate(descriptor_, 0, static_cast<off_t>(capacity)); error != 0) {
    close(descriptor_);
    throw CapacityError(
        fmt::format("{} for the disk tier cannot be reserved in {}: {}; name a larger disk with "
                    "--offload-dir, or put less on disk by --percent",
                    format_bytes(capacity), directory_, std::strerror(error)));
  }
}

DiskFile::~DiskFile() {
  if (descriptor_ >= 0) close(descriptor_);
}

Bytes DiskFile::take(Bytes bytes) {
  const Bytes offset = used_;
  OPTPIPE_CHECK(aligned(bytes) <= capacity_ - used_, "offload file: {} wanted, {} left", bytes,
                capacity_ - used_);
  used_ += aligned(bytes);
  return offset;
}

void DiskFile::read(Bytes offset, std::span<std::byte> out) const {
  while (!out.empty()) {
    const ssize_t count = pread(descriptor_, out.data(), out.size(), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count == 0) throw SystemError(fmt::format("offload file in {} ends at {}", directory_, offset));
    if (count < 0)
      throw_errno(
          fmt::format("reading {} bytes at {} of the offload file in {}", out.size(), offset, directory_));
    out = out.subspan(static_cast<std::size_t>(count));
    offset += static_cast<Bytes>(count);
  }
}

void DiskFile::write(Bytes offset, std::span<const std::byte> data) {
  while (!data.empty()) {
    const ssize_t count = pwrite(descriptor_, data.data(), data.size(), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0)
      throw_errno(
          fmt::format("writing {} bytes at {} of the offload file in {}", data.size(), offset, directory_));
    data = data.subspan(static_cast<std::size_t>(count));
    offset += static_cast<Bytes>(count);
  }
}

}  // namespace optpipe::memory
