// What a stage's stores need to know of the device: where memory comes from, and how bytes move.
#pragma once

#include "optpipe/base/dtype.hpp"
#include "optpipe/memory/resource.hpp"

namespace optpipe::executor {

// Copies between device, host and staging memory for one queue. copy() may return before the bytes have
// moved; whoever uses them is ordered behind by the program's waits.
class Copier {
 public:
  virtual ~Copier() = default;
  virtual void copy(void* to, const void* from, Bytes bytes) = 0;
  virtual void finish() {}  // waits until everything has moved; for set-up, not for the token loop
};

// Memory by tier.
struct TierMemory {
  memory::MemoryResource& device;
  memory::MemoryResource& host;
};

}  // namespace optpipe::executor
