#include "executor/stage/weight_loader.hpp"

#include "executor/stage/row_reader.hpp"

namespace optpipe::executor {
namespace {

using memory::Tier;

struct Placed {
  const LoadTask* task;
  RowChunk chunk;

  Bytes offset() const {
    return static_cast<Bytes>(chunk.first_row - task->first_row) * task->format.row_bytes();
  }
  std::byte* memory() const { return task->memory + offset(); }
};

}  // namespace

void load_weights(std::span<const LoadTask> tasks, const model::Checkpoint& checkpoint,
                  memory::DiskFile& disk, Copier& copier, bool device_is_host, int threads) {
  std::vector<Placed> here, on_device;  // what any thread writes, and what has to be copied to another memory
  for (const LoadTask& task : tasks) {
    const auto stored = find_tensor(checkpoint, task.spec);
    const auto step = rows_of_chunk(stored, task.format);
    auto& chunks = task.tier == Tier::device && !device_is_host ? on_device : here;
    for (std::int64_t row = 0; row < task.rows; row += step)
      chunks.push_back(
          {&task, {&task.spec, stored, task.format, task.first_row + row, std::min(step, task.rows - row)}});
  }
  RowReaders readers = make_readers(checkpoint, threads);
  for_each_chunk(here.size(), readers, [&](RowReader& reader, std::size_t i) {
    const Placed& placed = here[i];
    if (placed.task->tier != Tier::disk) return reader.read(placed.chunk, placed.memory());
    const Bytes offset = placed.task->disk_offset + placed.offset();
    disk.write(offset, reader.read_aside(placed.chunk, offset));
  });
  // One thread alone talks to the device: what the others have read, it copies.
  for (std::size_t begin = 0; begin < on_device.size(); begin += readers.size()) {
    const std::span batch =
        std::span(on_device).subspan(begin, std::min(readers.size(), on_device.size() - begin));
    std::vector<std::span<const std::byte>> read(batch.size());
    for_each_chunk(batch.size(), readers, [&](RowReader&, std::size_t i) {
      read[i] = readers[i].read_aside(batch[i].chunk);  // a buffer a chunk, whichever thread reads it
    });
    for (std::size_t i = 0; i < batch.size(); ++i)
      copier.copy(batch[i].memory(), read[i].data(), read[i].size());
    copier.finish();
  }
}

}  // namespace optpipe::executor
