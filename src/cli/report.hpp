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

// What was asked for, as every command's report says it: {"model", "layers", "hidden", "dtype", "ranks",
// "percent", "gpu_batch_size", "num_gpu_batches", "micro_batches", "overlap", "weight_format", "kv_format",
// "attention", "attention_share", "attention_sparsity"}.
nlohmann::json describe_input(const RunOptions& run, const model::ModelConfig& config,
                              const memory::Policy& policy, int ranks);

// A list of {"from", "to", "hosts": [2], "latency_s", "bytes_s"}: by the transport, through host memory.
nlohmann::json to_json(const std::vector<comm::LinkSpeed>& links);

}  // namespace optpipe::cli
