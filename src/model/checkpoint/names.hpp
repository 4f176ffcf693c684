// The names that checkpoints give to OPT's tensors, brought to one form.
#pragma once

#include <string>
#include <string_view>

namespace optpipe::model {

// The canonical name of what a checkpoint calls `stored`: "model.decoder.X", "decoder.X", and "X" of a
// decoder that was saved alone are all "decoder.X". Other names stay as they are.
std::string canonical_name(std::string_view stored);

// The same for FlexGen's file names, which call decoder.final_layer_norm decoder.layer_norm.
std::string canonical_name_of_npy(std::string_view file_name);

// Whether a canonical name can be one of an OPT's weights.
bool is_opt_tensor(std::string_view canonical);

}  // namespace optpipe::model
