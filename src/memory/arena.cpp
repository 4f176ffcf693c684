#include "optpipe/memory/arena.hpp"

#include <utility>

#include "optpipe/base/check.hpp"

namespace optpipe::memory {

Arena::Arena(std::string purpose, Bytes capacity, MemoryResource& resource)
    : purpose_(std::move(purpose)), resource_(resource), capacity_(round_up(capacity, 4096)) {
  if (capacity_ > 0) base_ = resource_.allocate(capacity_, purpose_);
}

Arena::Arena(Arena&& other) noexcept
    : purpose_(std::move(other.purpose_)),
      resource_(other.resource_),
      capacity_(std::exchange(other.capacity_, 0)),
      used_(std::exchange(other.used_, 0)),
      base_(std::exchange(other.base_, nullptr)) {}

Arena::~Arena() {
  if (base_ != nullptr) resource_.release(base_, capacity_);
}

std::span<std::byte> Arena::take(Bytes bytes) {
  const Bytes size = aligned(bytes);
  OPTPIPE_CHECK(size <= capacity_ - used_, "{}: {} wanted, {} of {} left", purpose_, size, capacity_ - used_,
                capacity_);
  std::span<std::byte> block(base_ + used_, bytes);
  used_ += size;
  return block;
}

}  // namespace optpipe::memory
