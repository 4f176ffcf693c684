#include "optpipe/memory/disk_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "memory/disk_engine.hpp"
#include "memory/range_checksums.hpp"
#include "optpipe/base/check.hpp"
#include "optpipe/base/error.hpp"
#include "optpipe/base/log.hpp"

namespace optpipe::memory {
namespace {

constexpr int kPoolThreads = 8;
constexpr std::size_t kMemoryAlignment = 512;  // of memory for direct access, on any disk

// O_TMPFILE where the file system has it; elsewhere a named file that is unlinked at once.
int open_unnamed(const std::filesystem::path& directory) {
  int descriptor = open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (descriptor >= 0) return descriptor;
  std::string name = (directory / "optpipe-offload-XXXXXX").string();
  descriptor = mkostemp(name.data(), O_CLOEXEC);
  if (descriptor >= 0) unlink(name.c_str());
  return descriptor;
}

std::unique_ptr<DiskEngine> make_engine(const DiskOptions& options, std::string& why) {
  if (options.uring)
    if (auto engine = make_uring_engine(why)) return engine;
  return make_pool_engine(kPoolThreads);
}

// The whole pages of a range, and the bytes before and behind them.
struct Cut {
  Bytes begin = 0, end = 0;  // of the whole pages
};

Cut cut_at_pages(Bytes offset, Bytes bytes, const std::byte* memory) {
  const Bytes begin = round_up(offset, kDiskAlignment),
              end = (offset + bytes) / kDiskAlignment * kDiskAlignment;
  const auto address = reinterpret_cast<std::uintptr_t>(memory) + (begin - offset);
  if (begin >= end || address % kMemoryAlignment != 0) return {offset, offset};
  return {begin, end};
}

void add_requests(std::vector<DiskRequest>& requests, bool write, int buffered, int direct, Bytes offset,
                  std::byte* memory, Bytes bytes) {
  const Bytes end = offset + bytes;
  const Cut cut = direct >= 0 ? cut_at_pages(offset, bytes, memory) : Cut{offset, offset};
  const auto add = [&](int descriptor, Bytes from, Bytes to) {
    if (from < to) requests.push_back({descriptor, write, from, memory + (from - offset), to - from});
  };
  add(buffered, offset, cut.begin);
  add(direct, cut.begin, cut.end);
  add(buffered, cut.end, end);
}

}  // namespace

DiskFile::DiskFile(const std::filesystem::path& directory, Bytes capacity, const DiskOptions& options)
    : directory_(directory.string()), capacity_(disk_aligned(capacity)) {
  if (capacity == 0) return;
  std::error_code ignored;  // an existing directory is no error, and any real one shows at open
  std::filesystem::create_directories(directory, ignored);
  buffered_ = open_unnamed(directory);
  if (buffered_ < 0)
    throw InputError(
        fmt::format("cannot create an offload file in {}: {}; name a writable folder with --offload-dir",
                    directory_, std::strerror(errno)));
  if (const int error = posix_fallocate(buffered_, 0, static_cast<off_t>(capacity_)); error != 0) {
    close_all();
    throw CapacityError(
        fmt::format("{} for the disk tier cannot be reserved in {}: {}; name a larger disk with "
                    "--offload-dir, or put less on disk by --percent",
                    format_bytes(capacity_), directory_, std::strerror(error)));
  }
  // What is read at page borders is single pages; reading ahead of them would only take the disk's time.
  posix_fadvise(buffered_, 0, 0, POSIX_FADV_RANDOM);
  if (options.direct) open_direct();
  reader_ = make_engine(options, obstacles_);
  writer_ = make_engine(options, obstacles_);
  if (options.checksums) checksums_ = std::make_unique<RangeChecksums>();
  log::debug("disk tier in {}: {} by {}{}{}", directory_, format_bytes(capacity_), describe(),
             obstacles_.empty() ? "" : "; ", obstacles_);
}

DiskFile::~DiskFile() { close_all(); }

void DiskFile::close_all() noexcept {
  if (buffered_ >= 0) close(buffered_);
  if (direct_ >= 0) close(direct_);
}

// The unnamed file once more, by its entry in /proc. A file system may take the flag and refuse the access,
// so one page is tried.
void DiskFile::open_direct() {
  direct_ = open(fmt::format("/proc/self/fd/{}", buffered_).c_str(), O_RDWR | O_DIRECT | O_CLOEXEC);
  if (direct_ >= 0) {
    alignas(kDiskAlignment) static thread_local std::byte page[kDiskAlignment];
    if (pread(direct_, page, sizeof page, 0) == static_cast<ssize_t>(sizeof page)) return;
  }
  obstacles_ = fmt::format("the file system refuses O_DIRECT: {}", std::strerror(errno));
  if (direct_ >= 0) close(direct_);
  direct_ = -1;
}

Bytes DiskFile::bytes_on_disk() const {
  if (buffered_ < 0) return 0;
  struct stat status {};
  if (fstat(buffered_, &status) != 0) throw_errno("fstat of the offload file");
  return static_cast<Bytes>(status.st_blocks) * 512;
}

std::string DiskFile::describe() const {
  return fmt::format("{}, {}{}", direct_ >= 0 ? "O_DIRECT" : "page cache",
                     reader_ ? reader_->name() : "unused", checksums_ ? ", checksums" : "");
}

Bytes DiskFile::take(Bytes bytes) {
  const Bytes offset = used_;
  OPTPIPE_CHECK(disk_aligned(bytes) <= capacity_ - used_, "offload file: {} wanted, {} left", bytes,
                capacity_ - used_);
  used_ += disk_aligned(bytes);
  return offset;
}

template <class Action>
void DiskFile::explain(Action action) const {
  try {
    action();
  } catch (const SystemError& error) {
    throw SystemError(fmt::format("disk tier in {}: {}", directory_, error.what()));
  }
}

void DiskFile::read(std::span<const DiskRange> ranges) {
  std::vector<DiskRequest> requests;
  Bytes bytes = 0;
  for (const DiskRange& range : ranges) {
    OPTPIPE_CHECK(range.offset + range.memory.size() <= capacity_, "a read beyond the offload file");
    add_requests(requests, false, buffered_, direct_, range.offset, range.memory.data(), range.memory.size());
    bytes += range.memory.size();
  }
  if (requests.empty()) return;
  explain([&] {
    const std::lock_guard lock(reading_);
    reader_->run(requests);
  });
  bytes_read_ += bytes;
  if (!checksums_) return;
  for (const DiskRange& range : ranges)
    if (const Bytes at = checksums_->find_difference(range.offset, range.memory); at != RangeChecksums::none)
      throw SystemError(
          fmt::format("disk tier in {}: what was read at {} is not what was written there: the disk or its "
                      "connection is faulty; name another one with --offload-dir",
                      directory_, at));
}

void DiskFile::write(std::span<const ConstDiskRange> ranges) {
  std::vector<DiskRequest> requests;
  Bytes bytes = 0;
  for (const ConstDiskRange& range : ranges) {
    OPTPIPE_CHECK(range.offset + range.memory.size() <= capacity_, "a write beyond the offload file");
    if (checksums_) checksums_->record(range.offset, range.memory);
    add_requests(requests, true, buffered_, direct_, range.offset,
                 const_cast<std::byte*>(range.memory.data()), range.memory.size());
    bytes += range.memory.size();
  }
  if (requests.empty()) return;
  explain([&] {
    const std::lock_guard lock(writing_);
    writer_->run(requests);
  });
  bytes_written_ += bytes;
}

void DiskFile::read(Bytes offset, std::span<std::byte> memory) {
  const DiskRange range{offset, memory};
  read(std::span(&range, 1));
}

void DiskFile::write(Bytes offset, std::span<const std::byte> memory) {
  const ConstDiskRange range{offset, memory};
  write(std::span(&range, 1));
}

void DiskFile::read_cached(Bytes offset, std::span<std::byte> memory) const {
  DiskRequest request{buffered_, false, offset, memory.data(), memory.size()};
  explain([&] {
    while (request.bytes > 0) {
      const ssize_t count =
          pread(request.descriptor, request.memory, request.bytes, static_cast<off_t>(request.offset));
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) fail(request, errno);
      advance(request, static_cast<Bytes>(count));
    }
  });
}

}  // namespace optpipe::memory
