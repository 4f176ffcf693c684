// Memory of one tier, taken once at its exact size and handed out in order.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "optpipe/base/units.hpp"
#include "optpipe/memory/resource.hpp"

namespace optpipe::memory {

inline constexpr Bytes kAlignment = 64;  // of every block: a cache line, and the widest vector

class Arena {
 public:
  // Takes `capacity` (rounded up to pages) from `resource`, which must outlive the arena. Throws what it
  // throws.
  Arena(std::string purpose, Bytes capacity, MemoryResource& resource);
  ~Arena();
  Arena(Arena&& other) noexcept;
  Arena& operator=(Arena&&) = delete;

  // The next `bytes`, aligned; never more in all than the capacity (a planning error, checked).
  std::span<std::byte> take(Bytes bytes);
  void reset() { used_ = 0; }  // everything taken so far may be handed out again
  Bytes capacity() const { return capacity_; }
  Bytes used() const { return used_; }

 private:
  std::string purpose_;
  MemoryResource& resource_;
  Bytes capacity_ = 0;
  Bytes used_ = 0;
  std::byte* base_ = nullptr;
};

// What `bytes` take in an arena.
constexpr Bytes aligned(Bytes bytes) { return round_up(bytes, kAlignment); }

}  // namespace optpipe::memory
