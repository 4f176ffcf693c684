// Runs a program with one thread a queue.
#pragma once

#include "optpipe/executor/stage.hpp"
#include "optpipe/schedule/program.hpp"
#include "optpipe/topology/binding.hpp"

namespace optpipe::executor {

// Does the work of one step; called from the thread of the step's queue.
class StepHandler {
 public:
  virtual ~StepHandler() = default;
  virtual void run(const schedule::Program& program, const schedule::Step& step) = 0;
};

// Where compute threads stay; other queues' threads may run on all of the rank's cores.
struct ComputeTeam {
  const topology::Binding* binding = nullptr;
  int threads = 1;  // of the team that the compute queue's thread leads
};

// Without `overlap` all steps run one after another on the calling thread, but for sends, which must be able
// to wait while receives go on. Rethrows the first failure, after all threads have ended; `on_failure` has
// been called with it before.
void run_program(const schedule::Program& program, StepHandler& handler, bool overlap,
                 const FailureHandler& on_failure, const ComputeTeam& team = {});

}  // namespace optpipe::executor
