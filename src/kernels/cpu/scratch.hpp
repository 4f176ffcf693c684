// Working memory of kernels.
#pragma once

#include <cstddef>
#include <cstdint>

namespace optpipe::kernels {

// Scratch rows start at multiples of this many floats: a cache line, and the longest vector.
inline constexpr std::int64_t kScratchAlignment = 16;

constexpr std::int64_t align_floats(std::int64_t count) {
  return (count + kScratchAlignment - 1) / kScratchAlignment * kScratchAlignment;
}

// At least `floats` uninitialised floats, aligned for vectors, owned by the calling thread: valid until the
// next call on this thread. Grows only, so that steady use allocates nothing. Throws CapacityError.
float* thread_scratch(std::int64_t floats);

}  // namespace optpipe::kernels
