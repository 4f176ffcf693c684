// A decode step's attention on CPU cores, next to a cache in host memory: what the CPU does for a GPU whose
// keys and values it keeps.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

#include "optpipe/base/storage_format.hpp"

namespace optpipe::kernels {

// The new position of one sequence, for some consecutive heads. q, k, v and out are rows [heads · dim]; keys
// and values are `context` rows of `heads` runs each, of which the last is written from k and v.
struct DecodeTask {
  const std::byte *q = nullptr, *k = nullptr, *v = nullptr;
  std::byte* out = nullptr;
  std::byte *keys = nullptr, *values = nullptr;
  std::int64_t context = 0;  // with the new position; at least 1
  std::int64_t heads = 0;
  std::int64_t kept = std::numeric_limits<std::int64_t>::max();  // as AttentionTask's
};

// Appends k and v to the caches and attends: out = softmax(q · kᵀ · dim^-0.5) · v, with the bits of
// kernels::attention (cpu.hpp), rounded to `rows`, the format of q, k, v and out. `cache`: the format of keys
// and values; a head is a run. Tasks must not share memory but for what they only read.
void decode_attention(std::span<const DecodeTask> tasks, DType rows, const RowFormat& cache, int threads);

}  // namespace optpipe::kernels
