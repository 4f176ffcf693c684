// When steps ran, kept by the threads that run them.
#pragma once

#include <array>
#include <chrono>
#include <vector>

#include "optpipe/schedule/timeline.hpp"

namespace optpipe::executor {

// Each queue's entries are written by the queue's own thread; begin() and take() need all of them at rest.
class StepRecorder {
 public:
  using Clock = std::chrono::steady_clock;

  void begin();  // of a round: the instant from which times count
  Clock::time_point round_begin() const { return begin_; }
  double now() const { return seconds(Clock::now()); }

  // The queue's next step starts now. Called again within a step, its time counts from there: a receive calls
  // it when the peer's message begins to arrive.
  void start(schedule::Queue queue) { lane(queue).started = Clock::now(); }
  void finish(schedule::Queue queue, StepId step) {
    Lane& own = lane(queue);
    own.times.push_back({step, seconds(own.started), now(), {}});
  }
  void add(schedule::Queue queue, const schedule::StepTime& time) { lane(queue).times.push_back(time); }

  std::vector<schedule::StepTime> take();

 private:
  struct alignas(64) Lane {
    Clock::time_point started;
    std::vector<schedule::StepTime> times;
  };
  Lane& lane(schedule::Queue queue) { return lanes_[static_cast<std::size_t>(queue)]; }
  double seconds(Clock::time_point time) const {
    return std::chrono::duration<double>(time - begin_).count();
  }

  Clock::time_point begin_;
  std::array<Lane, schedule::kQueues> lanes_;
};

}  // namespace optpipe::executor
