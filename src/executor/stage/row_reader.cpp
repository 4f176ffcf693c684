#include "executor/stage/row_reader.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "optpipe/base/error.hpp"
#include "optpipe/kernels/cpu.hpp"
#include "optpipe/kernels/quantized.hpp"

namespace optpipe::executor {

model::TensorInfo find_tensor(const model::Checkpoint& checkpoint, const model::TensorSpec& spec) {
  const auto info = checkpoint.find(spec.name);
  if (!info)
    throw InputError(
        fmt::format("{} has no tensor {}: it is incomplete, or config.json describes another model",
                    checkpoint.describe(), spec.name));
  const std::vector<std::int64_t> expected =
      spec.vector ? std::vector{spec.columns} : std::vector{spec.rows, spec.columns};
  if (info->shape != expected)
    throw InputError(fmt::format(
        "{}: {} has shape [{}], but config.json asks for [{}]: the weights and the configuration belong "
        "to different models",
        checkpoint.describe(), spec.name, fmt::join(info->shape, ", "), fmt::join(expected, ", ")));
  return *info;
}

namespace {

RowFormat stored_format(const model::TensorInfo& stored) {
  return {stored.format, stored.dtype, stored.shape.back()};
}

}  // namespace

std::int64_t rows_of_chunk(const model::TensorInfo& stored, const RowFormat& format) {
  constexpr Bytes kChunk = 2 * kMiB;
  const Bytes row_bytes = std::max(format.row_bytes(), stored_format(stored).row_bytes());
  return std::max<std::int64_t>(1, static_cast<std::int64_t>(kChunk / row_bytes));
}

void RowReader::read(const RowChunk& chunk, std::byte* to) {
  const auto& name = chunk.spec->name;
  const RowFormat stored = stored_format(chunk.stored);
  const auto fetch = [&](std::span<std::byte> out) {
    if (is_quantized(stored.format))
      checkpoint_.read_rows(name, chunk.first_row, chunk.rows, out);
    else
      checkpoint_.read(name, chunk.first_row * stored.run, chunk.rows * stored.run, out);
  };
  if (stored.format == chunk.format.format &&
      (is_quantized(stored.format) || stored.dtype == chunk.format.dtype))
    return fetch({to, chunk.bytes()});
  raw_.resize(static_cast<Bytes>(chunk.rows) * stored.row_bytes());
  row_.resize(static_cast<std::size_t>(stored.run));
  fetch(raw_);
  for (std::int64_t r = 0; r < chunk.rows; ++r) {
    kernels::widen_row(stored, 1, raw_.data() + static_cast<Bytes>(r) * stored.row_bytes(), row_.data());
    kernels::narrow_row(chunk.format, 1, row_.data(), to + static_cast<Bytes>(r) * chunk.format.row_bytes());
  }
}

std::span<const std::byte> RowReader::read_aside(const RowChunk& chunk, Bytes offset) {
  const Bytes needed = chunk.bytes() + memory::kDiskAlignment;
  if (!aside_ || aside_->capacity() < needed) {
    aside_.reset();
    aside_.emplace("a part of a weight on its way", needed, pages_);
  }
  aside_->reset();
  std::byte* to = aside_->take(needed).data() + offset % memory::kDiskAlignment;
  read(chunk, to);
  return {to, chunk.bytes()};
}

RowReaders make_readers(const model::Checkpoint& checkpoint, int threads) {
  RowReaders readers;
  for (int t = 0; t < std::max(threads, 1); ++t) readers.emplace_back(checkpoint);
  return readers;
}

}  // namespace optpipe::executor
