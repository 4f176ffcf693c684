#include "model/checkpoint/file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>

#include "model/checkpoint/printable.hpp"
#include "optpipe/base/error.hpp"
#include "optpipe/base/log.hpp"

namespace optpipe::model {
namespace {

constexpr std::size_t kLargestRead = std::size_t{1} << 30;  // Linux transfers at most 2 GiB a call

int open_for_reading(const std::filesystem::path& path) {
  int descriptor = -1;
  do {
    // Without O_NONBLOCK, opening a fifo would wait for a writer for ever; regular files do not heed it.
    descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  } while (descriptor < 0 && errno == EINTR);
  if (descriptor >= 0) return descriptor;
  const auto call = fmt::format("open({})", printable(path.string()));
  if (errno == EMFILE || errno == ENFILE || errno == ENOMEM) throw_errno(call);
  throw InputError(fmt::format("cannot open {}: {}; check that the checkpoint is complete and readable",
                               printable(path.string()), std::strerror(errno)));
}

}  // namespace

File::File(std::filesystem::path path) : path_(std::move(path)), descriptor_(open_for_reading(path_)) {
  struct stat status {};
  if (::fstat(descriptor_, &status) != 0 || !S_ISREG(status.st_mode)) {
    ::close(descriptor_);
    fail("it is not a regular file");
  }
  size_ = static_cast<std::uint64_t>(status.st_size);
}

File::~File() {
  if (descriptor_ >= 0 && ::close(descriptor_) != 0)
    log::warn("close({}) failed: {}", path_.string(), std::strerror(errno));
}

File::File(File&& other) noexcept
    : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)), size_(other.size_) {}

void File::read(std::uint64_t offset, std::span<std::byte> out) const {
  if (offset > size_ || out.size() > size_ - offset)
    fail(fmt::format("it ends early: {} bytes at {} were wanted, the file has {}; fetch it again", out.size(),
                     offset, size_));
  while (!out.empty()) {
    const auto want = std::min(out.size(), kLargestRead);
    const auto got = ::pread(descriptor_, out.data(), want, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0)
      throw_errno(fmt::format("pread({}, {} bytes at {})", printable(path_.string()), want, offset));
    if (got == 0) fail(fmt::format("it ends early, at byte {}: it was cut while in use", offset));
    offset += static_cast<std::uint64_t>(got);
    out = out.subspan(static_cast<std::size_t>(got));
  }
}

std::vector<std::byte> File::bytes(std::uint64_t offset, std::uint64_t count) const {
  if (offset > size_ || count > size_ - offset)
    fail(fmt::format("it ends early: {} bytes at {} were wanted, the file has {}; fetch it again", count,
                     offset, size_));
  std::vector<std::byte> data(count);
  read(offset, data);
  return data;
}

void File::fail(const std::string& why) const {
  throw InputError(fmt::format("{} cannot be used: {}", printable(path_.string()), why));
}

void refuse_lfs_pointer(const File& file) {
  constexpr std::string_view kPointer = "version https://git-lfs";
  if (file.size() < kPointer.size()) return;
  const auto head = file.bytes(0, kPointer.size());
  if (std::memcmp(head.data(), kPointer.data(), kPointer.size()) == 0)
    file.fail("it is a Git LFS pointer, not the weights; fetch them with git lfs pull");
}

}  // namespace optpipe::model
