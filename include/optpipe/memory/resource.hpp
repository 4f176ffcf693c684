// Where an arena's memory comes from.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <utility>

#include "optpipe/base/units.hpp"
#include "optpipe/topology/binding.hpp"

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

// Anonymous pages, huge ones where the system has them. They are bound to the rank's NUMA nodes, then touched
// by `threads` threads on the rank's cores, so that a shortage shows at allocation and not in the token loop,
// and the binding looks where they lie.
class HostPages : public MemoryResource {
 public:
  explicit HostPages(int threads = 1, std::shared_ptr<topology::Binding> binding = {})
      : threads_(threads), binding_(std::move(binding)) {}
  std::byte* allocate(Bytes bytes, const std::string& purpose) override;
  void release(std::byte* memory, Bytes bytes) noexcept override;

 private:
  int threads_;
  std::shared_ptr<topology::Binding> binding_;
};

}  // namespace optpipe::memory
