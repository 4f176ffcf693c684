// Where a run's model comes from: a checkpoint folder, or a known size with random weights.
#pragma once

#include <memory>

#include "cli/options.hpp"
#include "optpipe/model/checkpoint/checkpoint.hpp"
#include "optpipe/model/config.hpp"

namespace optpipe::cli {

// Throws InputError where there is neither a folder nor --path DUMMY.
model::ModelConfig read_config(const ModelOptions& options);

std::unique_ptr<model::Checkpoint> open_weights(const ModelOptions& options,
                                                const model::ModelConfig& config);

}  // namespace optpipe::cli
