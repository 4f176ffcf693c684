#include "cli/durable_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <utility>

#include "optpipe/base/error.hpp"

namespace optpipe::cli {
namespace {

namespace fs = std::filesystem;

std::string follow_links(const std::string& path) {
  std::error_code error;
  const auto real = fs::canonical(path, error);
  return error ? path : real.string();
}

}  // namespace

void write_all(int descriptor, std::string_view text, const std::function<void()>& fail) {
  while (!text.empty()) {
    const ssize_t count = ::write(descriptor, text.data(), text.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail();
    text.remove_prefix(static_cast<std::size_t>(count));
  }
}

void sync_folder_of(const std::string& path) {
  const auto folder = fs::path(path).parent_path();
  const int descriptor = open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return;
  static_cast<void>(fsync(descriptor));
  close(descriptor);
}

WholeFile::WholeFile(std::string flag, std::string path)
    : flag_(std::move(flag)), path_(follow_links(path)), temporary_(path_ + ".tmp") {
  struct stat status {};
  const bool replaces = stat(path_.c_str(), &status) == 0;
  descriptor_ = open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (descriptor_ < 0) fail();
  if (replaces) static_cast<void>(fchmod(descriptor_, status.st_mode & 0777));
}

WholeFile::~WholeFile() {
  if (descriptor_ < 0) return;
  close(descriptor_);
  unlink(temporary_.c_str());
}

void WholeFile::write(std::string_view text) {
  write_all(descriptor_, text, [this] { fail(); });
}

void WholeFile::commit() {
  if (fsync(descriptor_) != 0) fail();
  if (close(std::exchange(descriptor_, -1)) != 0) fail();
  if (std::rename(temporary_.c_str(), path_.c_str()) != 0) fail();
  sync_folder_of(path_);
}

void WholeFile::fail() const { throw_errno(fmt::format("writing {} {}", flag_, path_)); }

}  // namespace optpipe::cli
