// How fast cores read host memory.
#pragma once

#include <vector>

#include "optpipe/base/storage_format.hpp"
#include "optpipe/base/units.hpp"
#include "optpipe/kernels/decode_attention.hpp"
#include "optpipe/memory/arena.hpp"
#include "optpipe/memory/resource.hpp"
#include "optpipe/probe/probe.hpp"

namespace optpipe::probe {

// Bytes a second that `threads` threads read of `block` bytes from `pages`, for so many seconds. A block
// beyond the caches shows memory.
double read_rate(memory::MemoryResource& pages, Bytes block, int threads, double seconds);

// The same of keys and values that decode's attention reads, by the kernel itself in calls as a run makes
// them: one layer of one GPU batch (a part of it, where that is large), then another.
class AttentionReader {
 public:
  // Takes about `bytes` of `pages`; beyond the caches it shows memory.
  AttentionReader(memory::MemoryResource& pages, const AttentionShape& shape, Bytes bytes);
  double rate(int threads, double seconds);

 private:
  RowFormat row_;
  std::vector<std::byte> rows_;  // q, k, v and output of each sequence of a call
  memory::Arena arena_;
  std::vector<std::vector<kernels::DecodeTask>> calls_;
  Bytes call_bytes_ = 0;
};

// Anonymous pages of 4 KiB, for comparison: HostPages takes huge ones where it can.
class SmallPages final : public memory::MemoryResource {
 public:
  std::byte* allocate(Bytes bytes, const std::string& purpose) override;
  void release(std::byte* memory, Bytes bytes) noexcept override;
};

}  // namespace optpipe::probe
