// How fast cores read host memory.
#pragma once

#include "optpipe/base/storage_format.hpp"
#include "optpipe/base/units.hpp"
#include "optpipe/memory/resource.hpp"

namespace optpipe::probe {

// Bytes a second that `threads` threads read of `block` bytes from `pages`, for so many seconds. A block
// beyond the caches shows memory.
double read_rate(memory::MemoryResource& pages, Bytes block, int threads, double seconds);

// The same of keys and values in this format that decode's attention reads, by the kernel itself.
double attention_rate(memory::MemoryResource& pages, StorageFormat format, Bytes block, int threads,
                      double seconds);

// Anonymous pages of 4 KiB, for comparison: HostPages takes huge ones where it can.
class SmallPages final : public memory::MemoryResource {
 public:
  std::byte* allocate(Bytes bytes, const std::string& purpose) override;
  void release(std::byte* memory, Bytes bytes) noexcept override;
};

}  // namespace optpipe::probe
