// The .npy format: magic, version, a Python literal that says type and shape, and the elements.
#pragma once

#include "model/checkpoint/file.hpp"
#include "model/checkpoint/tensor_table.hpp"

namespace optpipe::model {

// A table of the one tensor of a file of FlexGen's folder, named after the file. Throws InputError unless the
// file is of version 1 to 3, in C order, little-endian fp16 or fp32, and exactly as long as its shape says.
TensorTable read_npy(const File& file);

}  // namespace optpipe::model
