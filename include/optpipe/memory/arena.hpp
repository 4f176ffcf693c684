// Memory of one tier, taken once at its exact size and handed out in order.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "optpipe/base/units.hpp"

namespace optpipe::memory {

inline constexpr Bytes kAlignment = 64;  // of every block: a cache line, and the widest vector

// Page-aligned anonymous memory. Its pages are touched at construction (in parallel where threads > 1), so
// that a shortage shows here and not in the token loop.
class Arena {
 public:
  // Throws CapacityError naming `purpose` and the size where the memory cannot be had.
  Arena(std::string purpose, Bytes capacity, int threads = 1);
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
  Bytes capacity_ = 0;
  Bytes used_ = 0;
  std::byte* base_ = nullptr;
};

// What `bytes` take in an arena.
constexpr Bytes aligned(Bytes bytes) { return round_up(bytes, kAlignment); }

}  // namespace optpipe::memory
