// How the clocks of the ranks stand to each other.
#pragma once

#include <functional>

#include "optpipe/comm/transport.hpp"

namespace optpipe::comm {

using ClockReading = std::function<double()>;  // seconds
double steady_seconds();                       // std::chrono::steady_clock since its epoch

struct ClockOffset {
  double at_s = 0;      // this rank's clock when it was measured
  double offset_s = 0;  // to add to this rank's clock for rank 0's
  double error_s = 0;   // at most so far off: half the round trip
};

// Collective. Rank 0 answers each rank's questions for the time; the answer with the shortest round trip
// counts, as in Cristian's algorithm.
ClockOffset measure_clock(Transport& transport, const ClockReading& now = steady_seconds);

// This rank's time as rank 0's: between two measurements clocks drift apart evenly; beyond them the nearer
// counts, because the errors of measurements shortly after one another would grow without bound.
double to_first_rank(double own_s, const ClockOffset& begin, const ClockOffset& end);

}  // namespace optpipe::comm
