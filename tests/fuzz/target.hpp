// What the fuzz targets share. A target gets any bytes, hands them to one reader, and demands that it answers
// or throws an Error; anything else (another exception, a sanitizer's finding, a large allocation, a hang) is
// a bug.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "optpipe/base/error.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace optpipe::fuzz {

inline std::string_view as_text(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

template <class Read>
void expect_answer_or_error(Read&& read) {
  try {
    read();
  } catch (const Error&) {
  }
}

// A regular file in memory, under a path that open() takes.
class MemoryFile {
 public:
  explicit MemoryFile(std::string_view content);
  ~MemoryFile();
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  std::filesystem::path path() const;

 private:
  int descriptor_;
};

// A folder for the process's whole life, in memory where the system has such a place; `content` under `name`
// in it.
const std::filesystem::path& scratch_folder();
void write_scratch(std::string_view name, std::string_view content);

}  // namespace optpipe::fuzz
