// When the steps of a program ran: what an interpreter reports of a round.
#pragma once

#include <span>
#include <vector>

#include "optpipe/schedule/program.hpp"

namespace optpipe::schedule {

// Seconds since the round's begin on this rank's clock. A receive begins when its message begins to arrive:
// waiting for the peer is nobody's work. Device work is timed on the device.
struct StepTime {
  StepId step;
  double begin_s = 0, end_s = 0;
  StepId last{};  // of several steps that ran as one (a CUDA graph): the last of them

  double seconds() const { return end_s - begin_s; }
};

// How a phase used the queues.
struct PhaseUse {
  double span_s = 0;                        // from the phase's first begin to its last end
  std::array<double, kQueues> busy_s{};     // time in which at least one step of the queue ran
  std::array<double, kQueues> covered_s{};  // of it, while a queue that computes was busy too
};

// Steps of token step 0 are the prefill phase, all others decode.
struct Utilization {
  PhaseUse prefill, decode;
};
Utilization& operator+=(Utilization& sum, const Utilization& round);

// `times`: any order, at most one entry a step. Steps that did not run are missing.
Utilization utilization(const Program& program, std::span<const StepTime> times);

}  // namespace optpipe::schedule
