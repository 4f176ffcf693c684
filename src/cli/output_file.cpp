#include "cli/output_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "optpipe/base/error.hpp"

namespace optpipe::cli {

OutputFile::OutputFile(std::string flag, std::string path) : flag_(std::move(flag)), path_(std::move(path)) {
  if (is_standard_output()) {
    descriptor_ = STDOUT_FILENO;
    return;
  }
  descriptor_ = open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  created_ = descriptor_ >= 0;
  if (!created_) descriptor_ = open(path_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
  if (descriptor_ < 0)
    throw InputError(fmt::format("{} {}: the file cannot be written: {}; name one that can", flag_, path_,
                                 std::strerror(errno)));
}

OutputFile::~OutputFile() {
  if (is_standard_output()) return;
  if (created_) unlink(path_.c_str());
  if (descriptor_ >= 0) close(descriptor_);
}

bool OutputFile::is_same_file(const std::string& path) const {
  struct stat own {
  }, other{};
  return fstat(descriptor_, &own) == 0 && stat(path.c_str(), &other) == 0 && S_ISREG(own.st_mode) &&
         own.st_dev == other.st_dev && own.st_ino == other.st_ino;
}

void OutputFile::begin() {
  created_ = false;
  if (is_standard_output()) return;
  struct stat status {};
  if (fstat(descriptor_, &status) != 0) fail();
  if (S_ISREG(status.st_mode) && ftruncate(descriptor_, 0) != 0) fail();
}

void OutputFile::write(std::string_view text) {
  while (!text.empty()) {
    const ssize_t count = ::write(descriptor_, text.data(), text.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail();
    text.remove_prefix(static_cast<std::size_t>(count));
  }
}

void OutputFile::finish() {
  if (is_standard_output()) return;
  if (close(std::exchange(descriptor_, -1)) != 0) fail();
}

void OutputFile::fail() const {
  throw_errno(is_standard_output() ? "writing the results to standard output"
                                   : fmt::format("writing {} {}", flag_, path_));
}

}  // namespace optpipe::cli
