// Events that order the steps of one queue against those of others.
#pragma once

#include <mutex>
#include <vector>

#include "executor/cuda/device.hpp"
#include "optpipe/base/ids.hpp"

namespace optpipe::executor::cuda {

// One event for each of the newest steps of a queue. A step whose event has been taken by a later one is
// complete, because the queue's thread never runs more than kAhead steps ahead of the GPU.
class QueueEvents {
 public:
  static constexpr std::int64_t kAhead = 64;

  explicit QueueEvents(cudaStream_t stream);

  // By the queue's own thread: waits until the GPU has come within kAhead steps, and marks the end of the
  // step's work.
  void throttle();
  void record(StepId step);

  // By any thread, for a step that has been recorded: the stream, or the thread, goes on only when the step
  // is complete.
  void make_wait(cudaStream_t stream, StepId step);
  void wait(StepId step);

  void reset();  // of a new round; nothing is under way

 private:
  static constexpr std::size_t kSlots = 2 * static_cast<std::size_t>(kAhead);

  struct Slot {
    Event event;
    StepId step;
  };
  Slot* find(StepId step);

  cudaStream_t stream_;
  std::mutex mutex_;
  std::vector<Slot> slots_;
  std::int64_t recorded_ = 0;
};

}  // namespace optpipe::executor::cuda
