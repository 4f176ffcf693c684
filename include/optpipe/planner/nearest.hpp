// The policy that fits and keeps the most of what was asked for.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "optpipe/planner/run_plan.hpp"

namespace optpipe::planner {

struct NearestPolicy {
  memory::Policy policy;
  std::vector<Ledger> ledgers;       // one a rank
  std::vector<std::string> changes;  // "2 instead of 4 GPU batches (96 instead of 192 prompts in flight)"
};

// What is given up is measured as one number: the share of the prompts in flight that goes, and the share of
// the bytes of weights, keys and values, and hidden states that moves to another tier; what moves to disk
// counts three times; another GPU batch size costs 0.15 in itself. Number formats stay as they are. Searches
// fewer and smaller GPU batches, for each of them the smallest moves between tiers that make room, and takes
// the cheapest. Nothing where not even single prompts fit, or where none is found in time.
std::optional<NearestPolicy> find_nearest(const RunRequest& run, const memory::Policy& asked,
                                          std::chrono::duration<double> time = std::chrono::seconds(2));

// The flags of a policy that shape its memory, to paste.
std::string flags_of(const memory::Policy& policy);

}  // namespace optpipe::planner
