#include "kernels/cpu/team_threads.hpp"

#include <atomic>
#include <mutex>

#include "optpipe/kernels/cpu.hpp"

namespace optpipe::kernels {
namespace {

struct Hook {
  std::mutex mutex;
  std::function<void(int, int)> call;
  std::atomic<int> version{0};  // 0: there has never been one
};

Hook& hook() {
  static Hook only;
  return only;
}

}  // namespace

void on_team_thread(std::function<void(int thread, int team)> call) {
  const std::lock_guard lock(hook().mutex);
  hook().call = std::move(call);
  ++hook().version;
}

void join_team(int thread, int team) noexcept {
  // The runtime may end threads and start others, as teams shrink and grow; these begin at 0 again.
  thread_local int seen = 0;
  const int version = hook().version.load(std::memory_order_acquire);
  if (thread == 0 || seen == version) return;
  seen = version;
  const std::lock_guard lock(hook().mutex);
  if (hook().call) hook().call(thread, team);
}

}  // namespace optpipe::kernels
