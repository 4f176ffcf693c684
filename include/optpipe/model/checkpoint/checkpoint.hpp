// A checkpoint: named tensors in files, read in place and in part.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "optpipe/base/storage_format.hpp"
#include "optpipe/model/config.hpp"

namespace optpipe::model {

struct TensorInfo {
  DType dtype{};                                 // of the numbers; of those that were quantized
  std::vector<std::int64_t> shape;               // row-major
  StorageFormat format = StorageFormat::native;  // quantized: of matrices that `optpipe quantize` wrote
};

// Readers are stateless for their callers: find() and read() may be called from several threads.
// Files are opened when the first of their tensors is asked for, so that a rank opens only what its slice
// needs.
class Checkpoint {
 public:
  virtual ~Checkpoint() = default;

  // What this is and where, for messages: "safetensors checkpoint at DIR (2 files)".
  virtual std::string describe() const = 0;

  // The tensor's type and shape, or nothing if the checkpoint has no such tensor. `name` is canonical (the
  // Hub's without the prefix "model."). Throws InputError where the file that should hold it is missing or
  // malformed.
  virtual std::optional<TensorInfo> find(std::string_view name) const = 0;

  // Copies elements [first, first + count) of the tensor, in row-major order and in its own dtype, to `out`
  // (count · size_of(dtype) bytes). Throws InputError if the tensor is missing or the file ends early.
  virtual void read(std::string_view name, std::int64_t first, std::int64_t count,
                    std::span<std::byte> out) const = 0;

  // Copies rows [first, first + count) of a quantized matrix, RowFormat{format, dtype, columns}.row_bytes()
  // each.
  virtual void read_rows(std::string_view name, std::int64_t first, std::int64_t count,
                         std::span<std::byte> out) const;
};

// Opens what PATH holds: safetensors (one file or shards by model.safetensors.index.json), torch .bin (one
// file, or shards by pytorch_model.bin.index.json), or FlexGen's folder of npy files; safetensors win where
// both are there. Throws InputError that says what was looked for and found.
std::unique_ptr<Checkpoint> open_checkpoint(const std::filesystem::path& directory);

// Weights drawn from `seed` and each tensor's name, in `dtype`; the same on every machine, for every slice.
std::unique_ptr<Checkpoint> open_dummy_checkpoint(const ModelConfig& config, std::uint64_t seed, DType dtype);

// `_DUMMY_` and `DUMMY` name no directory but dummy weights.
bool is_dummy_path(std::string_view path);

}  // namespace optpipe::model
