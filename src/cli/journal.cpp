#include "cli/journal.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "cli/durable_file.hpp"
#include "optpipe/base/error.hpp"
#include "optpipe/base/log.hpp"

namespace optpipe::cli {
namespace {

std::string content_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string shown(const nlohmann::json& object, const std::string& key) {
  return object.contains(key) ? object[key].dump(-1, ' ', true, nlohmann::json::error_handler_t::replace)
                              : "not stated";
}

void check_same_run(const std::string& path, const nlohmann::json& before, const nlohmann::json& now) {
  auto all = now;
  if (before.is_object()) all.update(before);
  for (const auto& [key, value] : all.items())
    if (!before.is_object() || shown(before, key) != shown(now, key))
      throw UsageError(
          fmt::format("--resume: {} is of another run: {} was {} there and is {} here; give what that run "
                      "was given, or remove "
                      "the journal to begin anew",
                      path, key, before.is_object() ? shown(before, key) : "not stated", shown(now, key)));
}

}  // namespace

Journal::Journal(std::string path, const nlohmann::json& run, bool resume, double patience_s)
    : path_(std::move(path)) {
  open(patience_s);
  try {
    auto content = read_journal(content_of(path_));
    if (content.entries.empty()) {
      begin_anew(run);
    } else if (!resume) {
      throw UsageError(fmt::format(
          "{} holds {} finished prompt(s) of a run that did not come to its end: add --resume to go on "
          "from there, or remove it to begin anew",
          path_, content.entries.size()));
    } else {
      take_over(std::move(content), run);
    }
  } catch (...) {
    close(descriptor_);
    throw;
  }
  syncer_ = std::thread([this] { sync_from_time_to_time(); });
}

Journal::~Journal() {
  {
    const std::lock_guard lock(mutex_);
    ends_ = true;
  }
  changed_.notify_all();
  syncer_.join();
  if (size_ == 0 && !removed_) unlink(path_.c_str());
  close(descriptor_);
}

void Journal::open(double patience_s) {
  descriptor_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (descriptor_ < 0)
    throw InputError(
        fmt::format("--output: its journal {} cannot be written: {}; name an output in a folder that can be "
                    "written to",
                    path_, std::strerror(errno)));
  constexpr auto kPause = std::chrono::milliseconds(50);
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(patience_s);
  int error = 0;
  while ((error = flock(descriptor_, LOCK_EX | LOCK_NB) == 0 ? 0 : errno) == EWOULDBLOCK &&
         std::chrono::steady_clock::now() < end)
    std::this_thread::sleep_for(kPause);
  if (error == 0) return;
  if (error != EWOULDBLOCK) {  // some network file systems have no locks
    log::warn("{} cannot be locked ({}): take care that no two runs write it", path_, std::strerror(error));
    return;
  }
  close(descriptor_);
  throw UsageError(
      fmt::format("{} is in use by another run: wait for its end, or give --output another name", path_));
}

void Journal::take_over(JournalContent content, const nlohmann::json& run) {
  check_same_run(path_, content.run, run);
  const auto torn = std::filesystem::file_size(path_) - content.sound_bytes;
  if (torn > 0 || content.broken_lines > 0)
    log::warn(
        "{}: {} torn bytes at its end and {} broken line(s) are passed over; their prompts are run again",
        path_, torn, content.broken_lines);
  if (ftruncate(descriptor_, static_cast<off_t>(content.sound_bytes)) != 0) fail("ftruncate", errno);
  if (lseek(descriptor_, 0, SEEK_END) < 0) fail("lseek", errno);
  earlier_ = std::move(content.entries);
  size_ = earlier_.size();
}

// The first line and the journal's name are on the disk before any prompt is.
void Journal::begin_anew(const nlohmann::json& run) {
  if (ftruncate(descriptor_, 0) != 0) fail("ftruncate", errno);
  write(journal_line(nlohmann::json{{"run", run}}));
  if (fdatasync(descriptor_) != 0) fail("fdatasync", errno);
  sync_folder_of(path_);
}

void Journal::add(const JournalEntry& entry) {
  const std::lock_guard lock(mutex_);
  if (sync_error_ != 0) fail("fdatasync", sync_error_);
  write(journal_line(entry));
  ++size_;
  dirty_ = true;
}

void Journal::sync() {
  const std::lock_guard lock(mutex_);
  if (sync_error_ != 0) fail("fdatasync", sync_error_);
  if (std::exchange(dirty_, false) && fdatasync(descriptor_) != 0) fail("fdatasync", errno);
}

void Journal::remove() {
  const std::lock_guard lock(mutex_);
  if (unlink(path_.c_str()) != 0) fail("unlink", errno);
  removed_ = true;
}

void Journal::write(const std::string& line) {
  const off_t begin = lseek(descriptor_, 0, SEEK_CUR);
  try {
    write_all(descriptor_, line, [this] { fail("write", errno); });
  } catch (...) {  // half a line would take the next one with it
    if (begin >= 0 && ftruncate(descriptor_, begin) == 0) lseek(descriptor_, begin, SEEK_SET);
    throw;
  }
}

void Journal::sync_from_time_to_time() {
  std::unique_lock lock(mutex_);
  while (!ends_) {
    changed_.wait_for(lock, std::chrono::duration<double>(kSyncSeconds), [this] { return ends_; });
    if (!std::exchange(dirty_, false)) continue;
    lock.unlock();
    const int error = fdatasync(descriptor_) == 0 ? 0 : errno;
    lock.lock();
    if (error != 0) sync_error_ = error;
  }
}

void Journal::fail(const char* call, int error) const {
  throw SystemError(fmt::format("{} of the journal {} failed: {}", call, path_, std::strerror(error)));
}

}  // namespace optpipe::cli
