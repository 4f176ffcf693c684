// What each rank's queues did, beside what they had to do: busy seconds, floors, bytes and rates.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "cli/bench/workload.hpp"
#include "cli/job.hpp"
#include "optpipe/metrics/binding.hpp"
#include "optpipe/simulator/floors.hpp"

namespace optpipe::cli {

struct Resources {
  std::vector<simulator::RankFloor> bytes;   // [rank]: what each queue moved
  std::vector<simulator::RankFloor> floors;  // [rank]: seconds at the rates of --machine; empty without it
  std::string machine;                       // its name
  std::optional<metrics::Binding> binding;
};

// On rank 0. `kv_share`: of rank 0's busiest queue, as measured. The workload's round as it was run, so of a
// cut one the token steps that were measured.
Resources find_resources(const BenchOptions& options, const Job& job, const ReadyStage& ready,
                         const Workload& workload, const std::vector<metrics::RankUse>& use,
                         std::optional<double> kv_share, const comm::Transport& transport);

// Of one rank: {phase: {queue: {"busy_s", "floor_s", "bytes", "bytes_s"}}}, queues that did anything.
nlohmann::json to_json(const Resources& resources, const metrics::RankUse& use, std::size_t rank);

// One line a rank, phase and queue that did anything, with a heading.
std::vector<std::string> resource_table(const Resources& resources, const std::vector<metrics::RankUse>& use);

}  // namespace optpipe::cli
