// How long messages of hidden states were on their way, without the time that a sender waits for its peer.
#pragma once

#include <vector>

#include "optpipe/comm/transport.hpp"
#include "optpipe/model/slice.hpp"
#include "optpipe/schedule/timeline.hpp"

namespace optpipe::executor {

// Collective, after a program: every rank tells the one that it received from how long each message took to
// arrive, and learns how long its own sends waited (schedule::find_waiting). Lengths of time are compared, so
// the ranks' clocks need not agree.
void settle_message_times(const schedule::Program& program, std::vector<schedule::StepTime>& times,
                          const model::StageSlice& slice, comm::Transport& transport);

}  // namespace optpipe::executor
