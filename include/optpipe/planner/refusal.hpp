// What the user reads when a run does not fit.
#pragma once

#include <string>

#include "optpipe/planner/nearest.hpp"

namespace optpipe::planner {

// One line: which ranks want how much of which memory, what is there and what says so, the largest classes,
// and the nearest policy that fits as flags to paste. `shortages` are those of the asked policy, not empty.
std::string refusal(const RunRequest& run, const memory::Policy& asked,
                    const std::vector<Shortage>& shortages);

}  // namespace optpipe::planner
