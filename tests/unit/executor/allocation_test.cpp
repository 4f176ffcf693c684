// Once a stage is ready, its token loop takes no large block of memory, but for the scratch of kernels, which
// each thread takes once and keeps. Counted are blocks of kLarge bytes and more from malloc and its aligned
// kin, on any thread: containers (operator new goes through malloc), kernels' scratch, other libraries; and
// mappings that the program asks for itself. Not counted: what the C library maps on its own account, such as
// stacks of threads. The count begins with the first step of the prefill and ends with the last token.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <filesystem>
#include <numeric>

#include "optpipe/executor/stage.hpp"

namespace {

constexpr std::size_t kLarge = 256 * 1024;
std::atomic<bool> is_counting{false};
std::atomic<std::size_t> blocks{0}, largest{0}, total{0};

void count(std::size_t bytes) {
  if (bytes < kLarge || !is_counting) return;
  ++blocks;
  total += bytes;
  std::size_t seen = largest;
  while (seen < bytes && !largest.compare_exchange_weak(seen, bytes)) {
  }
}

}  // namespace

// In place of the C library's, for the whole program.
extern "C" {

void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);

void* malloc(std::size_t bytes) {
  count(bytes);
  return __libc_malloc(bytes);
}
void* calloc(std::size_t number, std::size_t bytes) {
  count(number * bytes);
  return __libc_calloc(number, bytes);
}
void* realloc(void* memory, std::size_t bytes) {
  count(bytes);
  return __libc_realloc(memory, bytes);
}
void* aligned_alloc(std::size_t alignment, std::size_t bytes) {
  count(bytes);
  return __libc_memalign(alignment, bytes);
}
int posix_memalign(void** memory, std::size_t alignment, std::size_t bytes) {
  count(bytes);
  *memory = __libc_memalign(alignment, bytes);
  return *memory == nullptr ? ENOMEM : 0;
}
void* mmap(void* address, std::size_t bytes, int protection, int flags, int descriptor,
           off_t offset) noexcept {
  count(bytes);
  return reinterpret_cast<void*>(syscall(SYS_mmap, address, bytes, protection, flags, descriptor, offset));
}

}  // extern "C"

namespace optpipe::executor {
namespace {

// 64 prompts of 64 tokens: 1 MiB of hidden states in fp32 at h = 64, 4 times that in the feed-forward block.
constexpr std::size_t kMostScratch = 2 << 20;  // of a thread, all its growth counted
constexpr std::int64_t kPrompts = 64, kLength = 64, kNewTokens = 4;

model::ModelConfig small_model() {
  model::ModelConfig config;
  config.name = "small";
  config.layers = 3;
  config.hidden = config.embedding = 64;
  config.heads = 4;
  config.ffn = 256;
  config.vocabulary = 6000;
  config.positions = 128;
  return config;
}

class CountingSink final : public TokenSink {
 public:
  CountingSink() : prompt_(kLength) { std::iota(prompt_.begin(), prompt_.end(), 5); }
  std::span<const std::int32_t> prompt(std::int64_t) const override {
    is_counting = true;  // the first embedding asks: steps run
    return prompt_;
  }
  bool accept(std::int64_t, std::int32_t) override {
    if (++accepted_ == kPrompts * kNewTokens) is_counting = false;
    return true;
  }

 private:
  std::vector<std::int32_t> prompt_;
  std::int64_t accepted_ = 0;
};

void expect_no_large_block(const std::vector<double>& percent, bool overlap, bool x_cache = false) {
  StageOptions options;
  options.policy.x_cache = x_cache;
  memory::set_percent(options.policy, percent);
  options.policy.gpu_batch_size = kPrompts / 2;
  options.policy.gpu_batches = 2;
  options.policy.overlap = overlap;
  options.threads = 2;
  options.offload_directory = std::filesystem::temp_directory_path();
  std::vector<memory::Sequence> sequences;
  for (std::int64_t i = 0; i < kPrompts; ++i) sequences.push_back({i, kLength, kNewTokens});
  const auto rounds = memory::make_rounds(sequences, options.policy, 1);
  const auto config = small_model();
  const auto checkpoint = model::open_dummy_checkpoint(config, 1, DType::f16);
  comm::Alone alone;
  const auto stage = make_cpu_stage(config, model::balance_stages(config, 1).front(), *checkpoint, rounds,
                                    options, alone, {});
  const auto run = [&] {
    blocks = largest = total = 0;
    CountingSink sink;
    stage->run(rounds.front(), &sink);
    EXPECT_FALSE(is_counting);
  };
  run();
  EXPECT_LE(total, static_cast<std::size_t>(options.threads) * kMostScratch) << "the largest of " << largest;
  run();
  EXPECT_EQ(blocks, 0u) << "the largest of " << largest << " bytes";
}

TEST(Allocation, TheCountSeesVectorsAndMappings) {
  blocks = largest = 0;
  is_counting = true;
  const std::vector<std::byte> block(kLarge);
  void* pages = mmap(nullptr, 2 * kLarge, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  const std::vector<std::byte> small(kLarge / 2);
  is_counting = false;
  EXPECT_EQ(blocks, 2u);
  EXPECT_EQ(largest, 2 * kLarge);
  munmap(pages, 2 * kLarge);
}

TEST(Allocation, NoneInTheTokenLoop) { expect_no_large_block({100, 0, 100, 0, 100, 0}, true); }
TEST(Allocation, NoneWithAllTiers) { expect_no_large_block({30, 40, 20, 50, 0, 50}, true); }
TEST(Allocation, NoneWithTheXCache) { expect_no_large_block({30, 40, 20, 50, 0, 50}, true, true); }
TEST(Allocation, NoneOnDisk) { expect_no_large_block({0, 0, 0, 0, 0, 0}, true); }
TEST(Allocation, NoneWithoutOverlap) { expect_no_large_block({30, 40, 20, 50, 0, 50}, false); }

}  // namespace
}  // namespace optpipe::executor
