#include "executor/stage/queue_runner.hpp"

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

namespace optpipe::executor {
namespace {

using schedule::kQueues;
using schedule::Program;
using schedule::Queue;
using schedule::Step;

// How far one thread has come. Threads run their steps in program order, so one number says which are
// complete.
struct alignas(64) Progress {
  std::atomic<std::int32_t> newest{-1};
};

class Runner {
 public:
  Runner(const Program& program, StepHandler& handler, bool overlap, const FailureHandler& on_failure,
         const ComputeTeam& team)
      : program_(program), handler_(handler), on_failure_(on_failure), team_(team) {
    for (std::size_t q = 0; q < kQueues; ++q) {
      const bool own_thread = overlap || static_cast<Queue>(q) == Queue::send;
      lane_of_[q] = own_thread ? q : static_cast<std::size_t>(Queue::compute);
    }
    for (std::size_t i = 0; i < program.steps.size(); ++i)
      lanes_[lane_of(program.steps[i].queue)].push_back(static_cast<std::int32_t>(i));
  }

  void run() {
    const auto main_lane = static_cast<std::size_t>(Queue::compute);
    {
      std::vector<std::jthread> threads;
      for (std::size_t lane = 0; lane < kQueues; ++lane)
        if (lane != main_lane && !lanes_[lane].empty())
          threads.emplace_back([this, lane] { run_lane(lane); });
      // Only now, since threads inherit the cores of the one that starts them.
      const topology::ComputeThread pinned(team_.binding, 0, team_.threads);
      run_lane(main_lane);
    }
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  std::size_t lane_of(Queue queue) const { return lane_of_[static_cast<std::size_t>(queue)]; }

  void run_lane(std::size_t lane) {
    try {
      for (const std::int32_t index : lanes_[lane]) {
        const Step& step = program_.steps[static_cast<std::size_t>(index)];
        for (std::size_t q = 0; q < kQueues; ++q)
          if (step.after[q].valid() && !wait_for(lane_of_[q], step.after[q].value)) return;
        if (failed_) return;
        handler_.run(program_, step);
        publish(lane, index);
      }
    } catch (...) {
      fail(std::current_exception());
    }
  }

  // False where the run has failed meanwhile. The wait ends without a timeout of its own: every step that can
  // wait for another process has one, and its failure ends this wait.
  bool wait_for(std::size_t lane, std::int32_t index) {
    const auto reached = [&] { return progress_[lane].newest.load(std::memory_order_acquire) >= index; };
    for (int spin = 0; spin < kSpins; ++spin)
      if (reached()) return true;
    std::unique_lock lock(mutex_);
    ++sleepers_;
    while (!reached() && !failed_) changed_.wait_for(lock, std::chrono::milliseconds(100));
    --sleepers_;
    return reached();
  }

  void publish(std::size_t lane, std::int32_t index) {
    progress_[lane].newest.store(index, std::memory_order_seq_cst);
    if (sleepers_.load(std::memory_order_seq_cst) == 0) return;
    const std::lock_guard lock(
        mutex_);  // a sleeper between its look and its sleep would miss the call otherwise
    changed_.notify_all();
  }

  void fail(std::exception_ptr failure) {
    {
      const std::lock_guard lock(mutex_);
      if (failure_) return;  // what follows the first failure is its consequence
      failure_ = failure;
      failed_ = true;
    }
    changed_.notify_all();
    if (on_failure_) on_failure_(failure);
  }

  static constexpr int kSpins = 200;

  const Program& program_;
  StepHandler& handler_;
  const FailureHandler& on_failure_;
  const ComputeTeam team_;
  std::array<std::size_t, kQueues> lane_of_{};
  std::array<std::vector<std::int32_t>, kQueues> lanes_;
  std::array<Progress, kQueues> progress_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::atomic<int> sleepers_{0};
  std::atomic<bool> failed_{false};
  std::exception_ptr failure_;
};

}  // namespace

void run_program(const Program& program, StepHandler& handler, bool overlap, const FailureHandler& on_failure,
                 const ComputeTeam& team) {
  Runner(program, handler, overlap, on_failure, team).run();
}

}  // namespace optpipe::executor
