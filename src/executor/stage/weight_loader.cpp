#include "executor/stage/weight_loader.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "optpipe/base/error.hpp"
#include "optpipe/kernels/cpu.hpp"
#include "optpipe/kernels/quantized.hpp"
#include "optpipe/memory/arena.hpp"

namespace optpipe::executor {
namespace {

using memory::Tier;

constexpr Bytes kChunk = 8 * kMiB;

struct Chunk {
  const LoadTask* task;
  DType stored;            // the checkpoint's format
  std::int64_t row, rows;  // from the task's first

  Bytes offset() const { return static_cast<Bytes>(row) * task->format.row_bytes(); }
  Bytes bytes() const { return static_cast<Bytes>(rows) * task->format.row_bytes(); }
};

model::TensorInfo find(const LoadTask& task, const model::Checkpoint& checkpoint) {
  const auto& spec = task.spec;
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

// One thread's buffers.
class Reader {
 public:
  explicit Reader(const model::Checkpoint& checkpoint) : checkpoint_(checkpoint) {}

  void read(const Chunk& chunk, std::byte* to) {
    const LoadTask& task = *chunk.task;
    const std::int64_t columns = task.spec.columns;
    const std::int64_t first = (task.first_row + chunk.row) * columns, count = chunk.rows * columns;
    if (!is_quantized(task.format.format) && task.format.dtype == chunk.stored)
      return checkpoint_.read(task.spec.name, first, count, {to, chunk.bytes()});
    const Bytes stored_row = static_cast<Bytes>(columns) * size_of(chunk.stored);
    raw_.resize(static_cast<Bytes>(chunk.rows) * stored_row);
    row_.resize(static_cast<std::size_t>(columns));
    checkpoint_.read(task.spec.name, first, count, raw_);
    for (std::int64_t r = 0; r < chunk.rows; ++r) {
      kernels::to_float(raw_.data() + static_cast<Bytes>(r) * stored_row, chunk.stored, row_.data(), columns);
      kernels::narrow_row(task.format, 1, row_.data(), to + static_cast<Bytes>(r) * task.format.row_bytes());
    }
  }

  // The same to a buffer, as far from a page's begin as `offset` in a file.
  std::span<const std::byte> read_aside(const Chunk& chunk, Bytes offset) {
    if (!aside_ || aside_->capacity() < chunk.bytes() + memory::kDiskAlignment)
      aside_.emplace("a part of a weight on its way", chunk.bytes() + memory::kDiskAlignment, pages_);
    aside_->reset();
    std::byte* to = aside_->take(aside_->capacity()).data() + offset % memory::kDiskAlignment;
    read(chunk, to);
    return {to, chunk.bytes()};
  }

 private:
  const model::Checkpoint& checkpoint_;
  std::vector<std::byte> raw_;
  std::vector<float> row_;
  memory::HostPages pages_;
  std::optional<memory::Arena> aside_;
};

// body(reader, i) for i < count, each once, on as many threads as there are readers. The first failure ends
// all and is thrown again.
template <class Body>
void for_each(std::size_t count, std::deque<Reader>& readers, const Body& body) {
  std::atomic<std::size_t> next{0};
  std::mutex mutex;
  std::exception_ptr failure;
  const auto work = [&](Reader& reader) {
    try {
      for (std::size_t i = next++; i < count; i = next++) body(reader, i);
    } catch (...) {
      next = count;
      const std::lock_guard lock(mutex);
      if (!failure) failure = std::current_exception();
    }
  };
  {
    std::vector<std::jthread> helpers;
    for (std::size_t t = 1; t < std::min(readers.size(), count); ++t)
      helpers.emplace_back(work, std::ref(readers[t]));
    work(readers[0]);
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace

void load_weights(std::span<const LoadTask> tasks, const model::Checkpoint& checkpoint,
                  memory::DiskFile& disk, Copier& copier, bool device_is_host, int threads) {
  std::vector<Chunk> here, on_device;  // what any thread writes, and what has to be copied to another memory
  for (const LoadTask& task : tasks) {
    const DType stored = find(task, checkpoint).dtype;
    const Bytes row_bytes =
        std::max(task.format.row_bytes(), static_cast<Bytes>(task.spec.columns) * size_of(stored));
    const auto rows = std::max<std::int64_t>(1, static_cast<std::int64_t>(kChunk / row_bytes));
    auto& chunks = task.tier == Tier::device && !device_is_host ? on_device : here;
    for (std::int64_t row = 0; row < task.rows; row += rows)
      chunks.push_back({&task, stored, row, std::min(rows, task.rows - row)});
  }
  std::deque<Reader> readers;
  for (int t = 0; t < std::max(threads, 1); ++t) readers.emplace_back(checkpoint);
  for_each(here.size(), readers, [&](Reader& reader, std::size_t i) {
    const Chunk& chunk = here[i];
    if (chunk.task->tier != Tier::disk) return reader.read(chunk, chunk.task->memory + chunk.offset());
    const Bytes offset = chunk.task->disk_offset + chunk.offset();
    disk.write(offset, reader.read_aside(chunk, offset));
  });
  // One thread alone talks to the device: what the others have read, it copies.
  for (std::size_t begin = 0; begin < on_device.size(); begin += readers.size()) {
    const std::size_t count = std::min(readers.size(), on_device.size() - begin);
    std::vector<std::span<const std::byte>> read(count);
    for_each(count, readers, [&](Reader&, std::size_t i) {
      read[i] =
          readers[i].read_aside(on_device[begin + i], 0);  // a buffer a chunk, whichever thread reads it
    });
    for (std::size_t i = 0; i < count; ++i)
      copier.copy(on_device[begin + i].task->memory + on_device[begin + i].offset(), read[i].data(),
                  read[i].size());
    copier.finish();
  }
}

}  // namespace optpipe::executor
