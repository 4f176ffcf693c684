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
  StepId last{};        // of several steps that ran as one (a CUDA graph): the last of them
  double waited_s = 0;  // of a send: before the peer took the message

  double work_begin_s() const { return begin_s + waited_s; }
  double seconds() const { return end_s - work_begin_s(); }  // of work
};

// Of messages of hidden states, in the order in which they arrived: how long each took.
std::vector<double> receive_seconds(const Program& program, std::span<const StepTime> times);

// A send ends when the peer has its message, and is under way no longer than the peer needed to receive it:
// what is more was waiting. `receive_s`: the peer's receive_seconds of the same messages, one for each
// send_hidden of `times`.
void find_waiting(const Program& program, std::span<StepTime> times, std::span<const double> receive_s);

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
