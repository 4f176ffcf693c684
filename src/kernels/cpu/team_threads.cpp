#include "kernels/cpu/team_threads.hpp"

#ifdef _OPENMP
#include <omp.h>
#endif

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

std::vector<int> openmp_cpus() {
  std::vector<int> cpus;
#ifdef _OPENMP
  for (int place = 0; place < omp_get_num_places(); ++place) {
    std::vector<int> own(static_cast<std::size_t>(omp_get_place_num_procs(place)));
    omp_get_place_proc_ids(place, own.data());
    cpus.insert(cpus.end(), own.begin(), own.end());
  }
#endif
  return cpus;
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
