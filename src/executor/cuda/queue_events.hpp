// Events that order the steps of one queue against those of others, and time them.
#pragma once

#include <mutex>
#include <vector>

#include "executor/cuda/device.hpp"
#include "optpipe/base/ids.hpp"
#include "optpipe/schedule/timeline.hpp"

namespace optpipe::executor::cuda {

// Two events for each of the newest steps of a queue: its begin and its end. A step whose events have been
// taken by a later one is complete, because the queue's thread never runs more than kAhead steps ahead of the
// GPU. Several steps may be enqueued as one (a graph): they share the events of the first and bear the id of
// the last.
class QueueEvents {
 public:
  static constexpr std::int64_t kAhead = 64;

  explicit QueueEvents(cudaStream_t stream);

  // By the queue's own thread: waits until the GPU has come within kAhead steps; marks the begin of the next
  // step's work, and its end. What other steps the step must wait for is enqueued before begin().
  void throttle();
  void begin();
  void record(StepId first, StepId last);

  // By any thread, for a step that has been recorded: the stream, or the thread, goes on only when the step
  // is complete.
  void make_wait(cudaStream_t stream, StepId step);
  void wait(StepId step);

  // Nothing is under way at either. Times count from `zero`, an event of the same device that has passed; by
  // the device's clock.
  void start_round(cudaEvent_t zero);
  std::vector<schedule::StepTime> finish_round();

 private:
  static constexpr std::size_t kSlots = 2 * static_cast<std::size_t>(kAhead);

  struct Slot {
    Event begin, end;
    StepId first, last;
  };
  Slot& slot(std::int64_t number) { return slots_[static_cast<std::size_t>(number) % kSlots]; }
  Slot* find(StepId step);
  void read_times(std::int64_t until);

  cudaStream_t stream_;
  std::mutex mutex_;
  std::vector<Slot> slots_;
  std::int64_t recorded_ = 0;

  cudaEvent_t zero_ = nullptr;
  std::int64_t read_ = 0;  // steps whose times are in times_
  std::vector<schedule::StepTime> times_;
};

}  // namespace optpipe::executor::cuda
