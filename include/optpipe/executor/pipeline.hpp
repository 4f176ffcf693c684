// All ranks of a run, from the same point of view: agreeing on failures, cutting the model, running rounds.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "optpipe/comm/transport.hpp"
#include "optpipe/executor/stage.hpp"

namespace optpipe::executor {

// Runs `action` on every rank and compares notes: where it failed anywhere, every rank throws, the first
// failing rank's error on rank 0 and silently (Reported) on others. So one message is printed and all ranks
// end.
void agree(comm::Transport& transport, const std::function<void()>& action);

// Thrown where another rank tells the user what went wrong.
struct Reported : Error {
  explicit Reported(ExitStatus status) : Error(status, "reported by another rank") {}
};

// What every rank must know of the prompts; rank 0's are given to all.
std::vector<memory::Sequence> share_sequences(comm::Transport& transport,
                                              std::vector<memory::Sequence> sequences);

// Runs all rounds on this rank's stage, or as many as `goes_on`, asked before each on every rank, lets begin:
// its answers must be the same on all. `sink` on rank 0 only; `after_round` is called on rank 0.
RunStatistics run_rounds(Stage& stage, const std::vector<memory::Round>& rounds, TokenSink* sink,
                         const std::function<void(std::size_t round)>& after_round,
                         const std::function<bool()>& goes_on = {});

}  // namespace optpipe::executor
