// Seconds by kind of step: --debug-mode breakdown.
#pragma once

#include <array>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <vector>

#include "optpipe/schedule/timeline.hpp"

namespace optpipe::cli {

// Sums of one rank's steps; kinds of different queues overlap in time. Steps that ran as one count as the
// first.
struct StepSeconds {
  std::array<double, schedule::kStepKinds> prefill{}, decode{};
};

StepSeconds sum_steps(const schedule::Program& program, std::span<const schedule::StepTime> times);

// {phase: {kind: seconds}}, kinds that took any time.
nlohmann::json to_json(const StepSeconds& seconds);
std::vector<std::string> to_table(const StepSeconds& seconds);

}  // namespace optpipe::cli
