// A file opened for reading at offsets, from any number of threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace optpipe::model {

class File {
 public:
  // Throws InputError if `path` cannot be opened or is not a regular file.
  explicit File(std::filesystem::path path);
  ~File();
  File(File&& other) noexcept;
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  File& operator=(File&&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::uint64_t size() const { return size_; }  // bytes, when it was opened

  // Fills `out` from byte `offset` on. Throws InputError if the file ends before.
  void read(std::uint64_t offset, std::span<std::byte> out) const;

  // The `count` bytes from `offset` on; refused before anything is allocated if the file is shorter.
  std::vector<std::byte> bytes(std::uint64_t offset, std::uint64_t count) const;

  // InputError: "PATH cannot be used: why".
  [[noreturn]] void fail(const std::string& why) const;

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
  std::uint64_t size_ = 0;
};

// Throws InputError if `file` is the stand-in that git leaves where Git LFS has not fetched the file itself.
void refuse_lfs_pointer(const File& file);

}  // namespace optpipe::model
