// What torch.save writes since version 1.6: a ZIP archive of a pickle and of the tensors' storages.
#pragma once

#include "model/checkpoint/file.hpp"
#include "model/checkpoint/tensor_table.hpp"

namespace optpipe::model {

// Locates the tensors of a state dict: `<name>/data.pkl` says what they are, `<name>/data/KEY` holds their
// bytes. Throws InputError if the archive is damaged, if a tensor leaves its storage, or if the file is of
// another kind (older than 1.6, TorchScript, big-endian), with how to convert it.
TensorTable read_torch_archive(const File& file);

}  // namespace optpipe::model
