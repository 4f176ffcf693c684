#include "optpipe/executor/quantize.hpp"

#include <fmt/format.h>

#include <set>

#include "executor/stage/row_reader.hpp"
#include "optpipe/base/error.hpp"
#include "optpipe/model/checkpoint/safetensors_writer.hpp"

namespace optpipe::executor {
namespace {

struct Source {
  model::TensorSpec spec;
  model::TensorInfo stored;
  RowFormat wanted;
};

// Every tensor once: a tied head is the embedding's.
std::vector<Source> all_tensors(const model::ModelConfig& config, const model::Checkpoint& checkpoint,
                                StorageFormat format) {
  std::vector<Source> sources;
  std::set<std::string> names;
  const auto add = [&](const std::vector<model::TensorSpec>& specs, StorageFormat matrices) {
    for (const auto& spec : specs) {
      if (!names.insert(spec.name).second) continue;
      const auto stored = find_tensor(checkpoint, spec);
      if (is_quantized(stored.format))
        throw InputError(
            fmt::format("{} is quantized already ({}); name the checkpoint that it was made from",
                        checkpoint.describe(), name_of(stored.format)));
      sources.push_back(
          {spec, stored, {spec.vector ? StorageFormat::native : matrices, stored.dtype, spec.columns}});
    }
  };
  add(model::embedding_tensors(config), StorageFormat::native);
  for (std::int64_t layer = 0; layer < config.layers; ++layer)
    add(model::layer_tensors(config, LayerId(layer)), format);
  add(model::head_tensors(config), StorageFormat::native);
  return sources;
}

}  // namespace

QuantizedFile write_quantized(const model::ModelConfig& config, const model::Checkpoint& checkpoint,
                              StorageFormat format, const std::filesystem::path& file, int threads) {
  const auto sources = all_tensors(config, checkpoint, format);
  std::vector<model::WrittenTensor> tensors;
  std::vector<std::pair<std::size_t, RowChunk>> chunks;
  QuantizedFile result;
  for (const auto& source : sources) {
    const auto& spec = source.spec;
    result.read += static_cast<Bytes>(spec.rows * spec.columns) * size_of(source.stored.dtype);
    const auto step = rows_of_chunk(source.stored, source.wanted);
    for (std::int64_t row = 0; row < spec.rows; row += step)
      chunks.push_back(
          {tensors.size(), {&spec, source.stored, source.wanted, row, std::min(step, spec.rows - row)}});
    tensors.push_back({spec.name, source.wanted, spec.rows, spec.vector});
  }
  model::SafetensorsWriter writer(file, std::move(tensors));
  RowReaders readers = make_readers(checkpoint, threads);
  for_each_chunk(chunks.size(), readers, [&](RowReader& reader, std::size_t i) {
    const auto& [tensor, chunk] = chunks[i];
    writer.write(tensor, chunk.first_row, reader.read_aside(chunk));
  });
  writer.finish();
  result.written = writer.file_bytes();
  return result;
}

}  // namespace optpipe::executor
