// Writes one safetensors file of matrices and vectors, quantized ones among them.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "optpipe/base/storage_format.hpp"

namespace optpipe::model {

struct WrittenTensor {
  std::string name;  // canonical
  RowFormat format;  // of its rows
  std::int64_t rows = 1;
  bool vector = false;

  Bytes bytes() const { return static_cast<Bytes>(rows) * format.row_bytes(); }
};

// The file has its name only once it is complete; until then it is `path` + ".part", and gone if the writer
// goes. A quantized matrix is stored as bytes, [rows, row bytes], with an entry of the metadata that says of
// what.
class SafetensorsWriter {
 public:
  // Takes the space on disk. Throws InputError where `path` cannot be written to, CapacityError where it does
  // not fit.
  SafetensorsWriter(std::filesystem::path path, std::vector<WrittenTensor> tensors);
  ~SafetensorsWriter();
  SafetensorsWriter(const SafetensorsWriter&) = delete;
  SafetensorsWriter& operator=(const SafetensorsWriter&) = delete;

  Bytes file_bytes() const { return ends_.empty() ? data_start_ : ends_.back(); }

  // Whole rows from `first_row` on of the tensor of this index; from any thread, each row once. Throws
  // SystemError.
  void write(std::size_t tensor, std::int64_t first_row, std::span<const std::byte> rows);
  void finish();  // everything is on disk, under the file's name

 private:
  void write_at(Bytes offset, std::span<const std::byte> data);
  [[noreturn]] void fail(const char* call) const;  // with errno

  std::filesystem::path path_, part_;
  std::vector<WrittenTensor> tensors_;
  std::vector<Bytes> ends_;  // of each tensor in the file
  Bytes data_start_ = 0;
  int descriptor_ = -1;
  bool finished_ = false;
};

}  // namespace optpipe::model
