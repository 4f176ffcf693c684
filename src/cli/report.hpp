// The JSON report of a run.
#pragma once

#include <nlohmann/json.hpp>

#include "cli/generation.hpp"
#include "cli/options.hpp"

namespace optpipe::cli {

// {"input": what was asked for, "result": metrics::to_json}. `policy` is the one that was run.
nlohmann::json make_report(const GenerateOptions& options, const model::ModelConfig& config,
                           const memory::Policy& policy, int ranks, const Generation& generation,
                           const executor::RunStatistics& statistics);

}  // namespace optpipe::cli
