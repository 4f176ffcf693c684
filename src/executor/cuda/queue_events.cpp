#include "executor/cuda/queue_events.hpp"

namespace optpipe::executor::cuda {

QueueEvents::QueueEvents(cudaStream_t stream) : stream_(stream), slots_(kSlots) {
  for (Slot& slot : slots_) slot.event = make_event();
}

void QueueEvents::throttle() {
  if (recorded_ < kAhead) return;
  const Slot& slot = slots_[static_cast<std::size_t>(recorded_ - kAhead) % kSlots];
  check(cudaEventSynchronize(slot.event.get()), "cudaEventSynchronize");
}

void QueueEvents::record(StepId step) {
  const std::lock_guard lock(mutex_);
  Slot& slot = slots_[static_cast<std::size_t>(recorded_++) % kSlots];
  check(cudaEventRecord(slot.event.get(), stream_), "cudaEventRecord");
  slot.step = step;
}

// Newest first: that is what others wait for.
QueueEvents::Slot* QueueEvents::find(StepId step) {
  for (std::int64_t i = recorded_ - 1; i >= 0 && i >= recorded_ - static_cast<std::int64_t>(kSlots); --i) {
    Slot& slot = slots_[static_cast<std::size_t>(i) % kSlots];
    if (slot.step == step) return &slot;
    if (slot.step < step) break;
  }
  return nullptr;
}

void QueueEvents::make_wait(cudaStream_t stream, StepId step) {
  const std::lock_guard lock(mutex_);
  if (const Slot* slot = find(step))
    check(cudaStreamWaitEvent(stream, slot->event.get(), 0), "cudaStreamWaitEvent");
}

void QueueEvents::wait(StepId step) {
  cudaEvent_t event = nullptr;
  {
    const std::lock_guard lock(mutex_);
    if (const Slot* slot = find(step)) event = slot->event.get();
  }
  // Should the slot be taken meanwhile, the step was complete before, and the wait is only longer than need
  // be.
  if (event != nullptr) check(cudaEventSynchronize(event), "cudaEventSynchronize");
}

void QueueEvents::reset() {
  const std::lock_guard lock(mutex_);
  recorded_ = 0;
  for (Slot& slot : slots_) slot.step = StepId{};
}

}  // namespace optpipe::executor::cuda
