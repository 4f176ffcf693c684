#include "executor/cuda/queue_events.hpp"

#include <utility>

namespace optpipe::executor::cuda {

QueueEvents::QueueEvents(cudaStream_t stream) : stream_(stream), slots_(kSlots) {
  for (Slot& each : slots_) {
    each.begin = make_timed_event();
    each.end = make_timed_event();
  }
}

void QueueEvents::throttle() {
  if (recorded_ < kAhead) return;
  check(cudaEventSynchronize(slot(recorded_ - kAhead).end.get()), "cudaEventSynchronize");
  read_times(recorded_ - kAhead + 1);
}

void QueueEvents::begin() { check(cudaEventRecord(slot(recorded_).begin.get(), stream_), "cudaEventRecord"); }

void QueueEvents::record(StepId first, StepId last) {
  const std::lock_guard lock(mutex_);
  Slot& own = slot(recorded_++);
  check(cudaEventRecord(own.end.get(), stream_), "cudaEventRecord");
  own.first = first;
  own.last = last;
}

// Newest first: that is what others wait for. The oldest record that is not before the step holds it.
QueueEvents::Slot* QueueEvents::find(StepId step) {
  Slot* found = nullptr;
  for (std::int64_t i = recorded_ - 1; i >= 0 && i >= recorded_ - static_cast<std::int64_t>(kSlots); --i) {
    Slot& each = slot(i);
    if (each.last < step) break;
    found = &each;
  }
  return found;
}

void QueueEvents::make_wait(cudaStream_t stream, StepId step) {
  const std::lock_guard lock(mutex_);
  if (const Slot* found = find(step))
    check(cudaStreamWaitEvent(stream, found->end.get(), 0), "cudaStreamWaitEvent");
}

void QueueEvents::wait(StepId step) {
  cudaEvent_t event = nullptr;
  {
    const std::lock_guard lock(mutex_);
    if (const Slot* found = find(step)) event = found->end.get();
  }
  // Should the slot be taken meanwhile, the step was complete before, and the wait is only longer than need
  // be.
  if (event != nullptr) check(cudaEventSynchronize(event), "cudaEventSynchronize");
}

void QueueEvents::start_round(cudaEvent_t zero) {
  const std::lock_guard lock(mutex_);
  recorded_ = read_ = 0;
  for (Slot& each : slots_) each.first = each.last = StepId{};
  times_.clear();
  zero_ = zero;
}

// Each end is timed against the end before it: a float of milliseconds is exact over a step, not over a
// round.
void QueueEvents::read_times(std::int64_t until) {
  for (; read_ < until; ++read_) {
    const Slot& own = slot(read_);
    const cudaEvent_t before = read_ == 0 ? zero_ : slot(read_ - 1).end.get();
    const double end = (times_.empty() ? 0 : times_.back().end_s) + seconds_between(before, own.end.get());
    times_.push_back({own.first, end - seconds_between(own.begin.get(), own.end.get()), end, own.last});
  }
}

std::vector<schedule::StepTime> QueueEvents::finish_round() {
  check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
  read_times(recorded_);
  for (auto& time : times_)
    if (time.last == time.step) time.last = StepId{};
  return std::exchange(times_, {});
}

}  // namespace optpipe::executor::cuda
