// What builders keep in mind while they emit steps.
#pragma once

#include <cstddef>
#include <cstdint>

#include "optpipe/schedule/builder.hpp"

namespace optpipe::schedule {

// Hands out the indices of a ring of buffers in turn.
class Ring {
 public:
  explicit Ring(std::int64_t size) : size_(static_cast<std::int32_t>(size)) {}
  std::int32_t next() { return next_ = (next_ + 1) % size_; }
  std::int32_t newest() const { return next_; }

 private:
  std::int32_t size_;
  std::int32_t next_ = -1;
};

// A batch between its projection and its feed-forward.
struct UnderWay {
  std::size_t visit = 0;
  GpuBatchId gpu_batch;
  std::int32_t slot = 0;      // of host rows and of attention buffers
  std::int32_t kv_slot = -1;  // -1: none of its KV streams
};

// With attention on the host a layer's last passes end while the next layer's begin.
inline int weight_lag(const StageParameters& p) { return p.host_attention.any && p.weight_slots > 1 ? 1 : 0; }

}  // namespace optpipe::schedule
