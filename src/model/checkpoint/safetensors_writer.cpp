#include "optpipe/model/checkpoint/safetensors_writer.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "model/checkpoint/coded_metadata.hpp"
#include "model/checkpoint/printable.hpp"
#include "optpipe/base/check.hpp"
#include "optpipe/base/error.hpp"

namespace optpipe::model {
namespace {

using Json = nlohmann::ordered_json;

// As the Hub names it.
std::string stored_name(const std::string& canonical) {
  return canonical.starts_with("decoder.") ? "model." + canonical : canonical;
}

const char* stored_type(const RowFormat& format) {
  if (is_quantized(format.format)) return "U8";
  return format.dtype == DType::f32 ? "F32" : format.dtype == DType::f16 ? "F16" : "BF16";
}

// The header, padded so that data begins at a multiple of 64 bytes.
std::string header_of(const std::vector<WrittenTensor>& tensors) {
  Json header{{kMetadata, {{"format", "pt"}}}};
  Bytes begin = 0;
  for (const auto& tensor : tensors) {
    const auto name = stored_name(tensor.name);
    std::vector<std::int64_t> shape{tensor.rows, tensor.format.run};
    if (is_quantized(tensor.format.format)) {
      header[kMetadata][row_format_key(name)] = to_text(tensor.format);
      shape[1] = static_cast<std::int64_t>(tensor.format.row_bytes());
    } else if (tensor.vector) {
      shape = {tensor.format.run};
    }
    const Bytes end = begin + tensor.bytes();
    header[name] = {{"dtype", stored_type(tensor.format)}, {"shape", shape}, {"data_offsets", {begin, end}}};
    begin = end;
  }
  constexpr std::size_t kAlignment = 64, kLengthBytes = 8;
  auto text = header.dump();
  text.resize(round_up(kLengthBytes + text.size(), kAlignment) - kLengthBytes, ' ');
  std::string length(kLengthBytes, '\0');
  for (std::size_t i = 0; i < kLengthBytes; ++i) length[i] = static_cast<char>(text.size() >> (8 * i) & 0xff);
  return length + text;
}

}  // namespace

SafetensorsWriter::SafetensorsWriter(std::filesystem::path path, std::vector<WrittenTensor> tensors)
    : path_(std::move(path)), part_(path_.string() + ".part"), tensors_(std::move(tensors)) {
  const auto header = header_of(tensors_);
  data_start_ = header.size();
  Bytes end = data_start_;
  for (const auto& tensor : tensors_) ends_.push_back(end += tensor.bytes());
  descriptor_ = open(part_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (descriptor_ < 0)
    throw InputError(fmt::format("{} cannot be written: {}; name a folder that can be written to",
                                 printable(part_.string()), std::strerror(errno)));
  const int status = posix_fallocate(descriptor_, 0, static_cast<off_t>(file_bytes()));
  if (status == ENOSPC) {
    close(descriptor_);
    unlink(part_.c_str());
    throw CapacityError(fmt::format("{} takes {}, which its disk has no room for; name a folder on another",
                                    printable(path_.string()), format_bytes(file_bytes())));
  }
  write_at(0, std::as_bytes(std::span(header)));  // other failures to reserve show as the data is written
}

SafetensorsWriter::~SafetensorsWriter() {
  if (descriptor_ >= 0) close(descriptor_);
  if (!finished_) unlink(part_.c_str());
}

void SafetensorsWriter::write(std::size_t tensor, std::int64_t first_row, std::span<const std::byte> rows) {
  const auto& written = tensors_[tensor];
  const Bytes begin =
      ends_[tensor] - written.bytes() + static_cast<Bytes>(first_row) * written.format.row_bytes();
  OPTPIPE_CHECK(begin + rows.size() <= ends_[tensor], "rows beyond the end of {}", written.name);
  write_at(begin, rows);
}

void SafetensorsWriter::write_at(Bytes offset, std::span<const std::byte> data) {
  while (!data.empty()) {
    const auto count = pwrite(descriptor_, data.data(), data.size(), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail("writing");
    offset += static_cast<Bytes>(count);
    data = data.subspan(static_cast<std::size_t>(count));
  }
}

void SafetensorsWriter::finish() {
  if (fsync(descriptor_) != 0) fail("writing to disk");
  if (rename(part_.c_str(), path_.c_str()) != 0) fail("renaming");
  finished_ = true;
}

void SafetensorsWriter::fail(const char* call) const {
  throw SystemError(fmt::format("{} failed: {}: {}", call, printable(part_.string()), std::strerror(errno)));
}

}  // namespace optpipe::model
