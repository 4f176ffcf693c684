#include "optpipe/memory/resource.hpp"

#include <fmt/format.h>
#include <sys/mman.h>

#include <cstdint>
#include <span>

#include "memory/prefault.hpp"
#include "optpipe/base/error.hpp"
#include "optpipe/memory/budget.hpp"

namespace optpipe::memory {
namespace {

constexpr Bytes kHugePage = 2 * kMiB;
constexpr Bytes kWorthAsking = 64 * kMiB;  // reading the limits takes a millisecond

// Address space only, from a huge page's boundary on where the block holds one. Null where there is none
// left.
std::byte* reserve(Bytes bytes) {
  const Bytes slack = bytes >= kHugePage ? kHugePage : 0;
  void* memory = mmap(nullptr, bytes + slack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  auto* base = static_cast<std::byte*>(memory);
  if (slack == 0) return base;
  const Bytes lead =
      round_up(reinterpret_cast<std::uintptr_t>(base), kHugePage) - reinterpret_cast<std::uintptr_t>(base);
  if (lead > 0) munmap(base, lead);
  if (lead < slack) munmap(base + lead + round_up(bytes, 4096), slack - lead);
  return base + lead;
}

// Beyond what is left the system would not say no: it would end a process.
void check_left(Bytes bytes, const std::string& purpose) {
  if (bytes < kWorthAsking) return;
  const Budget left = host_memory_left();
  if (bytes <= left.bytes || host_memory_grows()) return;
  throw CapacityError(
      fmt::format("{} for {} are more than the {} that {} leaves: use smaller batches, or put less on this "
                  "tier by --percent",
                  format_bytes(bytes), purpose, format_bytes(left.bytes), left.source));
}

}  // namespace

std::byte* HostPages::allocate(Bytes bytes, const std::string& purpose) {
  check_left(bytes, purpose);
  std::byte* base = reserve(bytes);
  const std::span<std::byte> pages(base, base != nullptr ? bytes : 0);
  bool complete = base != nullptr;
  if (complete) {
    madvise(base, bytes, MADV_HUGEPAGE);  // worth 15 % of read bandwidth where allowed; no loss where not
    if (binding_) binding_->place(pages);
    complete = prefault(pages, threads_, binding_.get());
    if (!complete) release(base, bytes);
  }
  if (!complete)
    throw CapacityError(
        fmt::format("{} for {} cannot be had from the operating system: use smaller batches, or put less on "
                    "this tier by --percent",
                    format_bytes(bytes), purpose));
  if (binding_) binding_->verify(pages);
  return base;
}

void HostPages::release(std::byte* memory, Bytes bytes) noexcept { munmap(memory, bytes); }

}  // namespace optpipe::memory
