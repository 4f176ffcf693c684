// Where an arena's memory comes from.
#pragma once

#include <cstddef>
#include <string>

#include "optpipe/base/units.hpp"

namespace optpipe::memory {

// A source of large blocks. Composes with Arena, which hands them out in order.
class MemoryResource {
 public:
  virtual ~MemoryResource() = default;
  // Page-aligned memory, ready for use (its pages are there). Throws CapacityError naming `purpose` and the
  // size.
  virtual std::byte* allocate(Bytes bytes, const std::string& purpose) = 0;
  virtual void release(std::byte* memory, Bytes bytes) noexcept = 0;
  virtual bool is_host_accessible() const { return true; }
};

// Anonymous pages, huge ones where the system has them, touched by `threads` threads at allocation, so that a
// shortage shows there and not in the token loop.
class HostPages : public MemoryResource {
 public:
  explicit HostPages(int threads = 1) : threads_(threads) {}
  std::byte* allocate(Bytes bytes, const std::string& purpose) override;
  void release(std::byte* memory, Bytes bytes) noexcept override;

 private:
  int threads_;
};

}  // namespace optpipe::memory
