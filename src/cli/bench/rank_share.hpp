// What each rank has of the model and of memory, and where its time went.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "optpipe/metrics/attribution.hpp"
#include "optpipe/metrics/utilization.hpp"
#include "optpipe/planner/ledger.hpp"

namespace optpipe::cli {

struct RankShare {
  std::int64_t first_layer = 0, last_layer = 0;  // of looped stages not all between them
  int gpu = -1;                                  // -1: the rank computes on the CPU
  int threads = 1;
  planner::Ledger memory;  // arenas and the offload file
  metrics::RunSplit split;
};

// {"device", "threads", "layers": [first, last], "memory": {place: {class: bytes}}, "split": {phase:
// {activity: seconds}}}
nlohmann::json to_json(const RankShare& share);

// One line a rank, with headings: GiB of each class in each place, and seconds of each activity.
std::vector<std::string> memory_table(const std::vector<RankShare>& shares,
                                      const std::vector<metrics::RankUse>& use);
std::vector<std::string> time_table(const std::vector<RankShare>& shares);

}  // namespace optpipe::cli
