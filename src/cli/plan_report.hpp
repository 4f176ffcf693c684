// What `optpipe plan` says.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "optpipe/planner/run_plan.hpp"
#include "optpipe/simulator/search.hpp"

namespace optpipe::cli {

// A policy at a place, with what it takes and how fast it would be.
struct PlannedRun {
  simulator::Site site;
  planner::RunRequest request;
  memory::Policy policy;
  std::vector<planner::Ledger> ledgers;  // one a rank
  bool fits = true;
  simulator::Prediction prediction;
};

// Ranks that take the same are one block of lines.
std::vector<std::string> memory_table(const PlannedRun& run);
std::vector<std::string> speed_table(const PlannedRun& run);
nlohmann::json to_json(const PlannedRun& run);

std::vector<std::string> search_table(const simulator::SearchRequest& request,
                                      const simulator::SearchResult& result);
nlohmann::json to_json(const simulator::SearchRequest& request, const simulator::SearchResult& result);

}  // namespace optpipe::cli
