// The JSON report of a run.
#pragma once

#include <nlohmann/json.hpp>

#include "cli/generation.hpp"
#include "cli/options.hpp"
#include "optpipe/comm/link_speed.hpp"
#include "optpipe/metrics/utilization.hpp"

namespace optpipe::cli {

// {"input": what was asked for, "result": metrics::to_json, "ranks": how busy each was}. `policy` is the one
// that was run.
nlohmann::json make_report(const GenerateOptions& options, const model::ModelConfig& config,
                           const memory::Policy& policy, const std::vector<metrics::RankUse>& ranks,
                           const Generation& generation, const executor::RunStatistics& statistics);

// A list of {"from", "to", "hosts": [2], "latency_s", "bytes_s"}: by the transport, through host memory.
nlohmann::json to_json(const std::vector<comm::LinkSpeed>& links);

}  // namespace optpipe::cli
