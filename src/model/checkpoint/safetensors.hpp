// The safetensors format: u64 little-endian header length, a JSON object, and the tensors' bytes without
// gaps.
#pragma once

#include "model/checkpoint/file.hpp"
#include "model/checkpoint/tensor_table.hpp"

namespace optpipe::model {

// Reads and checks the whole header. Throws InputError unless the tensors cover the rest of the file exactly.
TensorTable read_safetensors_header(const File& file);

}  // namespace optpipe::model
