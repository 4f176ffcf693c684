// What the tokens of a run depend on, so that a run goes on only where it would have gone.
#pragma once

#include <nlohmann/json.hpp>

#include "cli/generation.hpp"
#include "cli/options.hpp"
#include "optpipe/model/checkpoint/checkpoint.hpp"

namespace optpipe::cli {

// A flat object, name: value. Prompts go in as one number over their ids, tokens and lengths; weights as one
// over a sample of the embedding and the first layer, the same whatever the files' format. Placement is not
// in it: it changes no tokens.
nlohmann::json run_identity(const GenerateOptions& options, const model::ModelConfig& config,
                            const model::Checkpoint& weights, const Generation& generation, bool on_gpu);

}  // namespace optpipe::cli
