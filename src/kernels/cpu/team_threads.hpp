// What the threads of kernels do before their first work.
#pragma once

namespace optpipe::kernels {

// Calls the function of on_team_thread() where the calling thread has not yet been through it. For each
// thread of a team but the first, which is the caller's own.
void join_team(int thread, int team) noexcept;

}  // namespace optpipe::kernels
