#include "optpipe/memory/resource.hpp"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <thread>
#include <vector>

#include "optpipe/base/error.hpp"

namespace optpipe::memory {
namespace {

constexpr Bytes kPage = 4096;

void touch_pages(std::byte* base, Bytes bytes) {
  for (Bytes offset = 0; offset < bytes; offset += kPage)
    *const_cast<volatile std::byte*>(base + offset) = std::byte{0};
}

}  // namespace

std::byte* HostPages::allocate(Bytes bytes, const std::string& purpose) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED)
    throw CapacityError(
        fmt::format("{} for {} cannot be had from the operating system: use smaller batches, or put less on "
                    "this tier by --percent",
                    format_bytes(bytes), purpose));
  auto* base = static_cast<std::byte*>(memory);
  madvise(base, bytes, MADV_HUGEPAGE);  // worth 15 % of read bandwidth where allowed; no loss where not
  const Bytes share = round_up(bytes / static_cast<Bytes>(std::max(threads_, 1)) + 1, kPage);
  std::vector<std::jthread> helpers;
  for (Bytes begin = share; begin < bytes; begin += share)
    helpers.emplace_back(touch_pages, base + begin, std::min(share, bytes - begin));
  touch_pages(base, std::min(share, bytes));
  return base;
}

void HostPages::release(std::byte* memory, Bytes bytes) noexcept { munmap(memory, bytes); }

}  // namespace optpipe::memory
