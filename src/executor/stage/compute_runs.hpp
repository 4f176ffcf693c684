// Which steps a device may take as one.
#pragma once

#include <vector>

#include "optpipe/schedule/program.hpp"

namespace optpipe::executor {

// Steps of the compute queue, one behind the other there.
struct ComputeRun {
  StepId first;
  std::vector<StepId> steps;  // with the first

  StepId last() const { return steps.back(); }
};

// The longest runs of decode steps of a micro-batch's layers in which only the first has anything to wait
// for: what comes behind has no more waits for other queues. In the order of their first steps; runs of less
// than two layers are not worth it and are left out.
std::vector<ComputeRun> find_compute_runs(const schedule::Program& program);

}  // namespace optpipe::executor
