// Small arrays on their way to the GPU: token ids, task lists.
#pragma once

#include <cstring>
#include <span>

#include "executor/cuda/queue_events.hpp"
#include "optpipe/base/check.hpp"
#include "optpipe/kernels/cuda.hpp"
#include "optpipe/memory/arena.hpp"
#include "optpipe/planner/backend.hpp"

namespace optpipe::executor::cuda {

// A ring of slots in pinned and in device memory, one a step of the compute queue. A slot comes round again
// only after the step that used it is complete, since the queue runs at most kAhead steps ahead.
class UploadRing {
 public:
  UploadRing(kernels::cuda::Context& context, Bytes slot_bytes, memory::Arena& device, memory::Arena& pinned)
      : context_(context),
        slot_(memory::aligned(slot_bytes)),
        device_(device.take(kSlots * slot_)),
        pinned_(pinned.take(kSlots * slot_)) {}

  void next_step() {
    turn_ = (turn_ + 1) % kSlots;
    used_ = 0;
  }

  // The array on the device, in order with the context's stream.
  template <class T>
  const T* upload(std::span<const T> array) {
    const Bytes bytes = array.size_bytes();
    const Bytes at = turn_ * slot_ + used_;
    used_ += memory::aligned(bytes);
    OPTPIPE_CHECK(used_ <= slot_, "{} bytes to upload in a step, room for {}", used_, slot_);
    if (bytes > 0) {
      std::memcpy(pinned_.data() + at, array.data(), bytes);
      kernels::cuda::copy_small(context_, device_.data() + at, pinned_.data() + at, bytes);
    }
    return reinterpret_cast<const T*>(device_.data() + at);
  }

 private:
  static constexpr Bytes kSlots = planner::cuda::kUploadSlots;
  static_assert(kSlots >= static_cast<Bytes>(QueueEvents::kAhead) + 2);

  kernels::cuda::Context& context_;
  Bytes slot_;
  std::span<std::byte> device_, pinned_;
  Bytes turn_ = 0, used_ = 0;
};

}  // namespace optpipe::executor::cuda
