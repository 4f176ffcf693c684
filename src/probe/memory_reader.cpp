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
#include "optpipe/kernels/cpu.hpp"
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

double attention_rate(memory::MemoryResource& pages, StorageFormat format, Bytes block, int threads,
                      double seconds) {
  constexpr std::int64_t kHeads = 32, kHeadDim = 128, kContext = 512;
  const RowFormat row{format, DType::f16, kHeadDim};
  const Bytes cache = kContext * row.row_bytes(kHeads);
  const auto sequences = static_cast<std::size_t>(std::max<Bytes>(1, block / (2 * cache)));
  memory::Arena arena("a measurement of attention", sequences * 2 * cache, pages);
  const auto memory = arena.take(sequences * 2 * cache);
  std::memset(memory.data(), 1, memory.size());  // small numbers in every format
  const std::vector<float> q(kHeads * kHeadDim, 0.5f);
  std::vector<float> out(sequences * q.size());
  std::vector<kernels::AttentionTask> tasks;
  for (std::size_t i = 0; i < sequences; ++i) {
    const std::byte* keys = memory.data() + i * 2 * cache;
    tasks.push_back({q.data(), keys, keys + cache, out.data() + i * q.size(), 1, kContext, kHeads,
                     kHeads * kHeadDim, kHeads * kHeadDim});
  }
  kernels::attention(tasks, row, threads);  // starts the threads
  Bytes total = 0;
  const auto begin = Clock::now();
  double passed = 0;
  do {
    kernels::attention(tasks, row, threads);
    total += memory.size();
    passed = std::chrono::duration<double>(Clock::now() - begin).count();
  } while (passed < seconds);
  return static_cast<double>(total) / passed;
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
