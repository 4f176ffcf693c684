#include "memory/prefault.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <system_error>
#include <thread>
#include <vector>

#include "optpipe/base/units.hpp"

#ifndef MADV_POPULATE_WRITE  // since Linux 5.14
#define MADV_POPULATE_WRITE 23
#endif

namespace optpipe::memory {
namespace {

constexpr Bytes kPage = 4096;
constexpr Bytes kPiece = 64 * kMiB;  // threads take pieces, so that a slow one does not hold up the rest

// One call for the whole piece. It also reports a shortage as an error, where a plain write would end the
// process.
bool populate(std::span<std::byte> piece) {
  while (madvise(piece.data(), piece.size(), MADV_POPULATE_WRITE) != 0) {
    if (errno == EINTR) continue;
    if (errno != EINVAL && errno != ENOSYS && errno != EPERM) return false;
    for (Bytes offset = 0; offset < piece.size(); offset += kPage)  // an older kernel
      *const_cast<volatile std::byte*>(piece.data() + offset) = std::byte{0};
    return true;
  }
  return true;
}

}  // namespace

bool prefault(std::span<std::byte> pages, int threads, const topology::Binding* binding) {
  const Bytes pieces = (pages.size() + kPiece - 1) / kPiece;
  std::atomic<Bytes> next{0};
  std::atomic<bool> enough{true};
  const auto work = [&] {
    for (Bytes i; enough && (i = next++) < pieces;)
      if (!populate(pages.subspan(i * kPiece, std::min(kPiece, pages.size() - i * kPiece)))) enough = false;
  };
  const int team = static_cast<int>(std::min<Bytes>(pieces, static_cast<Bytes>(std::max(threads, 1))));
  {
    std::vector<std::jthread> helpers;
    try {
      for (int i = 1; i < team; ++i)
        helpers.emplace_back([&, i] {
          const topology::ComputeThread pinned(binding, i, threads);
          work();
        });
    } catch (const std::system_error&) {  // no more threads to be had: those that there are do it
    }
    const topology::ComputeThread pinned(binding, 0, threads);
    work();
  }
  return enough;
}

}  // namespace optpipe::memory
