// All figures of a benchmark, on rank 0.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "cli/bench/rank_share.hpp"
#include "cli/bench/resources.hpp"
#include "cli/bench/step_seconds.hpp"
#include "cli/bench/workload.hpp"
#include "optpipe/comm/link_speed.hpp"
#include "optpipe/executor/bind_ranks.hpp"
#include "optpipe/metrics/memory_use.hpp"
#include "optpipe/metrics/projection.hpp"
#include "optpipe/metrics/result.hpp"

namespace optpipe::cli {

// --validate-projection: the same workload at its full length; where it was not cut, the measured run itself.
struct Validation {
  double decode_s = 0;  // measured
  // Of the projection: projected over measured, less 1. None where nothing had to be projected.
  std::optional<double> error;
  // What the full run's own first steps would have been projected to, had it been cut there.
  struct Prefix {
    std::int64_t cut_gen_len = 0;
    double decode_s = 0, error = 0;
  };
  std::vector<Prefix> prefixes{};
};

// --verify: tokens of a few prompts, and of the same prompts in a second placement.
struct Verification {
  std::vector<std::int64_t> prompts;
  std::int64_t tokens = 0;  // compared
  std::int64_t differences = 0;
};

struct Outcome {
  metrics::WorkloadSizes sizes;
  Bytes micro_batch_prefill = 0, micro_batch_decode = 0;  // what a micro-batch sends from stage to stage
  metrics::Result result;
  std::vector<double> decode_step_s;
  std::optional<metrics::Projection> projection;
  std::optional<Validation> validation;
  std::optional<Verification> verification;
  Resources resources;
  StepSeconds steps;  // of rank 0
  std::vector<metrics::RankUse> use;
  std::vector<RankShare> shares;
  std::vector<executor::RankBinding> bindings;
  std::vector<metrics::RankMemory> memory;
  std::vector<comm::LinkSpeed> links;  // measured where there is a report
};

// The report of --json; docs/report-schema.json describes it.
nlohmann::json make_report(const BenchOptions& options, const model::ModelConfig& config,
                           const Workload& workload, const Outcome& outcome);

// What stands above the result lines: tables, what binds, the projection. `breakdown`: seconds by kind of
// step too.
std::string details(const Outcome& outcome, std::string_view kv_format, bool breakdown);

// "model size: 55.803 GB, cache size: 100.406 GB, hidden size (prefill): 1.046 GB", and what a micro-batch
// sends.
std::string size_lines(const Outcome& outcome, int micro_batches, DType hidden);

}  // namespace optpipe::cli
