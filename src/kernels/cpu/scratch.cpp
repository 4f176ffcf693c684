#include "kernels/cpu/scratch.hpp"

#include <fmt/format.h>
#include <hwy/aligned_allocator.h>

#include "optpipe/base/error.hpp"
#include "optpipe/base/units.hpp"

namespace optpipe::kernels {

float* thread_scratch(std::int64_t floats) {
  thread_local hwy::AlignedFreeUniquePtr<float[]> memory;
  thread_local std::int64_t capacity = 0;
  if (floats > capacity) {
    memory.reset();
    capacity = 0;
    memory = hwy::AllocateAligned<float>(static_cast<std::size_t>(floats));
    if (!memory)
      throw CapacityError(
          fmt::format("no host memory for {} of a kernel's scratch; lower the batch size or leave "
                      "more memory free on this node",
                      format_bytes(static_cast<Bytes>(floats) * sizeof(float))));
    capacity = floats;
  }
  return memory.get();
}

}  // namespace optpipe::kernels
