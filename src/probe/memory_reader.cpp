#include "probe/memory_reader.hpp"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <thread>
#include <vector>

#include "optpipe/base/check.hpp"
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

AttentionReader::AttentionReader(memory::MemoryResource& pages, const AttentionShape& shape, Bytes bytes)
    : row_{shape.format, DType::f16, shape.head_dim}, arena_("a measurement of attention", bytes, pages) {
  const auto memory = arena_.take(bytes);
  std::memset(memory.data(), 1, memory.size());  // small numbers in every format
  const auto whole_rows = static_cast<Bytes>(shape.heads * shape.head_dim) * sizeof(std::uint16_t);
  const Bytes array = memory::aligned(static_cast<Bytes>(shape.context) * row_.row_bytes(shape.heads));
  OPTPIPE_CHECK(2 * array <= bytes, "{} bytes of one sequence, room for {}", 2 * array, bytes);
  const Bytes there = bytes / (2 * array);  // sequences; of two calls or more, unless it is one
  const auto sequences = std::clamp<Bytes>(there / 2, 1, static_cast<Bytes>(shape.sequences));
  rows_.resize(4 * sequences * whole_rows);
  std::byte* at = memory.data();
  for (Bytes call = 0; call < there / sequences; ++call) {
    auto& tasks = calls_.emplace_back();
    for (Bytes i = 0; i < sequences; ++i, at += 2 * array) {
      std::byte* q = rows_.data() + 4 * i * whole_rows;
      tasks.push_back({q, q + whole_rows, q + 2 * whole_rows, q + 3 * whole_rows, at, at + array,
                       shape.context, shape.heads});
    }
  }
  call_bytes_ = sequences * 2 * static_cast<Bytes>(shape.context) * row_.row_bytes(shape.heads);
}

double AttentionReader::rate(int threads, double seconds) {
  const auto attend = [&](std::size_t call) {
    kernels::decode_attention(calls_[call % calls_.size()], DType::f16, row_, threads);
  };
  attend(0);  // starts the threads
  std::size_t calls = 0;
  const auto begin = Clock::now();
  double passed = 0;
  do {
    attend(++calls);
    passed = std::chrono::duration<double>(Clock::now() - begin).count();
  } while (passed < seconds);
  return static_cast<double>(calls * call_bytes_) / passed;
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
