// What a run needs at the least: the work of every queue of every rank, at a machine's rates, with nothing in
// its way. No schedule can be faster than its busiest queue.
#pragma once

#include <array>
#include <vector>

#include "optpipe/simulator/predict.hpp"

namespace optpipe::simulator {

struct PhaseFloor {
  std::array<double, schedule::kQueues> work_s{};  // of the queue's steps, one after another, each alone
  // Of it, what grows in proportion to the context: attention, and moving keys and values to where it
  // happens.
  std::array<double, schedule::kQueues> kv_s{};
};

struct RankFloor {
  PhaseFloor prefill, decode;
};

// Of the scenario's first round, one a rank. Decode work is linear in the context, so its sum is taken from
// the first and the last step.
std::vector<RankFloor> floors(const Scenario& scenario, const Machine& machine);

// Bytes that each queue moves, in the same form: load, store, disk_read, disk_write and send; others are 0.
std::vector<RankFloor> traffic(const Scenario& scenario);

}  // namespace optpipe::simulator
