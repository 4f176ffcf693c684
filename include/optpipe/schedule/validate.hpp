// Checks of programs, before anything runs and without a device.
#pragma once

#include <array>
#include <span>
#include <string>
#include <vector>

#include "optpipe/schedule/program.hpp"

namespace optpipe::schedule {

// What is wrong with one rank's program, one line a fault (at most `most` of them); empty: nothing. Found are
//   - waits for steps that do not come earlier,
//   - two steps that touch the same buffer, one of them writing, with nothing that orders them,
//   - contents: a step that finds in a buffer something else than what it needs (a slot refilled too early, a
//   layer of
//     another micro-batch, keys of an older token step, a weight of which a part is missing).
std::vector<std::string> find_faults(const Program& program, std::size_t most = 10);

// The same for all ranks, and beyond: every send has its receive, in the same order on both sides; and all
// ranks come to their end even if a send completes only together with its receive (no cycle of waits across
// ranks).
std::vector<std::string> find_faults(std::span<const Program> programs, std::size_t most = 10);

// Bytes of the program's buffers on each tier: all of them exist at once.
std::array<Bytes, 3> buffer_bytes(const Program& program);

}  // namespace optpipe::schedule
