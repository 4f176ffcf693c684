#include "probe/memory_reader.hpp"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <thread>
#include <vector>

#include "optpipe/base/error.hpp"
#include "optpipe/memory/arena.hpp"

namespace optpipe::probe {
namespace {

constexpr Bytes kPiece = 1 * kMiB;  // between looks at the clock

using Clock = std::chrono::steady_clock;

// The sum keeps the compiler from leaving the reads out.
std::uint64_t sum(const std::byte* from, Bytes bytes) {
  std::uint64_t a = 0, b = 0, c = 0, d = 0;
  for (Bytes at = 0; at < bytes; at += 32) {
    std::uint64_t words[4];
    std::memcpy(words, from + at, sizeof words);
    a += words[0], b += words[1], c += words[2], d += words[3];
  }
  return a + b + c + d;
}

}  // namespace

double read_rate(memory::MemoryResource& pages, Bytes block, int threads, double seconds) {
  memory::Arena arena("a measurement of memory", std::max(block, kPiece), pages);
  const auto memory = arena.take(std::max(block, kPiece));
  std::memset(memory.data(), 1, memory.size());
  std::atomic<Bytes> total{0};
  std::atomic<std::uint64_t> sink{0};
  const auto begin = Clock::now();
  const auto end =
      begin + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  {
    std::vector<std::jthread> readers;
    const Bytes share = block / static_cast<Bytes>(threads) / kPiece * kPiece;
    for (int i = 0; i < threads; ++i)
      readers.emplace_back([&, from = memory.data() + static_cast<Bytes>(i) * share] {
        Bytes bytes = 0;
        std::uint64_t value = 0;
        Bytes at = 0;
        do {
          value += sum(from + at, kPiece);
          bytes += kPiece;
          at = at + 2 * kPiece <= share ? at + kPiece : 0;
        } while (Clock::now() < end);
        total += bytes;
        sink += value;
      });
  }
  return static_cast<double>(total) / std::chrono::duration<double>(Clock::now() - begin).count();
}

std::byte* SmallPages::allocate(Bytes bytes, const std::string& purpose) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED)
    throw CapacityError(fmt::format("{} for {} cannot be had from the operating system: free some memory",
                                    format_bytes(bytes), purpose));
  madvise(memory, bytes, MADV_NOHUGEPAGE);
  return static_cast<std::byte*>(memory);
}

void SmallPages::release(std::byte* memory, Bytes bytes) noexcept { munmap(memory, bytes); }

}  // namespace optpipe::probe
