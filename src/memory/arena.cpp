#include "optpipe/memory/arena.hpp"

#include <fmt/format.h>
#include <sys/mman.h>

#include <thread>
#include <utility>
#include <vector>

#include "optpipe/base/check.hpp"
#include "optpipe/base/error.hpp"

namespace optpipe::memory {
namespace {

constexpr Bytes kPage = 4096;

void touch_pages(std::byte* base, Bytes bytes) {
  for (Bytes offset = 0; offset < bytes; offset += kPage)
    *const_cast<volatile std::byte*>(base + offset) = std::byte{0};
}

}  // namespace

Arena::Arena(std::string purpose, Bytes capacity, int threads)
    : purpose_(std::move(purpose)), capacity_(round_up(capacity, kPage)) {
  if (capacity_ == 0) return;
  void* memory = mmap(nullptr, capacity_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED)
    throw CapacityError(
        fmt::format("{} for {} cannot be had from the operating system: use smaller batches, or put less on "
                    "this tier by --percent",
                    format_bytes(capacity_), purpose_));
  base_ = static_cast<std::byte*>(memory);
  madvise(base_, capacity_, MADV_HUGEPAGE);  // worth 15 % of read bandwidth where allowed; no loss where not
  const Bytes share = round_up(capacity_ / static_cast<Bytes>(std::max(threads, 1)) + 1, kPage);
  std::vector<std::jthread> helpers;
  for (Bytes begin = share; begin < capacity_; begin += share)
    helpers.emplace_back(touch_pages, base_ + begin, std::min(share, capacity_ - begin));
  touch_pages(base_, std::min(share, capacity_));
}

Arena::Arena(Arena&& other) noexcept
    : purpose_(std::move(other.purpose_)),
      capacity_(std::exchange(other.capacity_, 0)),
      used_(std::exchange(other.used_, 0)),
      base_(std::exchange(other.base_, nullptr)) {}

Arena::~Arena() {
  if (base_ != nullptr) munmap(base_, capacity_);
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
