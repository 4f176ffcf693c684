// Where a run's model comes from: a checkpoint folder, or a known size with random weights.
#pragma once

#include <memory>

#include "cli/options.hpp"
#include "optpipe/model/checkpoint/checkpoint.hpp"
#include "optpipe/model/config.hpp"

namespace optpipe::cli {

// Throws InputError where there is neither a folder nor --path DUMMY.
model::ModelConfig read_config(const ModelOptions& options);

// The format of the weights that a run of the model keeps: `wanted` or, for `native`, the one of the weights
// in the folder, which needs none for this. Throws InputError where it has some that cannot be read.
StorageFormat planned_weight_format(const ModelOptions& options, const model::ModelConfig& config,
                                    StorageFormat wanted);

std::unique_ptr<model::Checkpoint> open_weights(const ModelOptions& options,
                                                const model::ModelConfig& config);

}  // namespace optpipe::cli
