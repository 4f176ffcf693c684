// A checkpoint whose layers' matrices are quantized once and for all, so that later starts read less.
#pragma once

#include <filesystem>

#include "optpipe/model/checkpoint/checkpoint.hpp"

namespace optpipe::executor {

struct QuantizedFile {
  Bytes read = 0, written = 0;
};

// Writes all tensors of the model to `file` (safetensors): layers' matrices in `format`, everything else as
// it is. Throws InputError where the checkpoint lacks a tensor, or holds quantized ones already; what the
// writer throws.
QuantizedFile write_quantized(const model::ModelConfig& config, const model::Checkpoint& checkpoint,
                              StorageFormat format, const std::filesystem::path& file, int threads);

}  // namespace optpipe::executor
