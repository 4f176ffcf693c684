#include "fuzz/target.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>

namespace optpipe::fuzz {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void give_up(const char* why) {
  std::perror(why);
  std::abort();
}

// Gone with the process, unless that crashes: then it is evidence.
struct Scratch {
  fs::path path;
  Scratch() {
    std::error_code none;
    const fs::path parent = fs::is_directory("/dev/shm", none) ? "/dev/shm" : "/tmp";
    std::string name = parent / "optpipe-fuzz-XXXXXX";
    if (mkdtemp(name.data()) == nullptr) give_up("mkdtemp");
    path = name;
  }
  ~Scratch() {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
};

}  // namespace

MemoryFile::MemoryFile(std::string_view content) : descriptor_(memfd_create("optpipe-fuzz", MFD_CLOEXEC)) {
  if (descriptor_ < 0) give_up("memfd_create");
  while (!content.empty()) {
    const auto count = write(descriptor_, content.data(), content.size());
    if (count < 0) give_up("write");
    content.remove_prefix(static_cast<std::size_t>(count));
  }
}

MemoryFile::~MemoryFile() { close(descriptor_); }

fs::path MemoryFile::path() const { return "/proc/self/fd/" + std::to_string(descriptor_); }

const fs::path& scratch_folder() {
  static const Scratch scratch;
  return scratch.path;
}

void write_scratch(std::string_view name, std::string_view content) {
  std::ofstream file(scratch_folder() / name, std::ios::binary | std::ios::trunc);
  file.write(content.data(), static_cast<std::streamsize>(content.size()));
  if (!file.flush()) give_up("write_scratch");
}

}  // namespace optpipe::fuzz
