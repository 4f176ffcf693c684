// Reads rows of tensors from a checkpoint in the format that is wanted, many threads side by side.
#pragma once

#include <algorithm>
#include <atomic>
#include <deque>
#include <exception>
#include <mutex>
#include <optional>
#include <span>
#include <thread>
#include <vector>

#include "optpipe/memory/arena.hpp"
#include "optpipe/memory/disk_file.hpp"
#include "optpipe/model/checkpoint/checkpoint.hpp"
#include "optpipe/model/tensors.hpp"

namespace optpipe::executor {

// The tensor, or an InputError where it is missing or has another shape than `spec`.
model::TensorInfo find_tensor(const model::Checkpoint& checkpoint, const model::TensorSpec& spec);

// Rows of a tensor that are read at once, and the format that they are wanted in.
struct RowChunk {
  const model::TensorSpec* spec = nullptr;
  model::TensorInfo stored;
  RowFormat format;
  std::int64_t first_row = 0, rows = 0;

  Bytes bytes() const { return static_cast<Bytes>(rows) * format.row_bytes(); }
};

// So many rows that neither form takes more than 2 MiB, but at least one.
std::int64_t rows_of_chunk(const model::TensorInfo& stored, const RowFormat& format);

// One thread's buffers.
class RowReader {
 public:
  explicit RowReader(const model::Checkpoint& checkpoint) : checkpoint_(checkpoint) {}

  void read(const RowChunk& chunk, std::byte* to);
  // The same to a buffer, as far from a page's begin as `offset` in a file. Valid until the next call.
  std::span<const std::byte> read_aside(const RowChunk& chunk, Bytes offset = 0);

 private:
  const model::Checkpoint& checkpoint_;
  std::vector<std::byte> raw_;
  std::vector<float> row_;
  memory::HostPages pages_;
  std::optional<memory::Arena> aside_;
};
using RowReaders = std::deque<RowReader>;  // they do not move
RowReaders make_readers(const model::Checkpoint& checkpoint, int threads);

// body(reader, i) for i < count, each once, on as many threads as there are readers. The first failure ends
// all and is thrown again.
template <class Body>
void for_each_chunk(std::size_t count, RowReaders& readers, const Body& body) {
  std::atomic<std::size_t> next{0};
  std::mutex mutex;
  std::exception_ptr failure;
  const auto work = [&](RowReader& reader) {
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

}  // namespace optpipe::executor
