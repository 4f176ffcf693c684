// Ceilings of a rank that computes on cores: its kernels, and copies within host memory.

#include <array>
#include <cstring>
#include <random>
#include <thread>

#include "executor/timed_loop.hpp"
#include "optpipe/base/check.hpp"
#include "optpipe/executor/device_probe.hpp"
#include "optpipe/kernels/cpu.hpp"
#include "optpipe/memory/arena.hpp"

namespace optpipe::executor {
namespace {

constexpr double kSeconds = 0.1;  // a measurement
constexpr Bytes kBeyondCaches = 256 * kMiB;
constexpr std::int64_t kWidth = 2048;  // of the matrices
constexpr std::int64_t kHeads = 16, kHeadDim = 64;

class CpuProbe final : public DeviceProbe {
 public:
  explicit CpuProbe(int threads)
      : threads_(threads), pages_(threads), arena_("measurements", 2 * kBeyondCaches, pages_) {
    for (auto& each : memory_) {
      each = arena_.take(kBeyondCaches);
      fill(each);
    }
  }

  simulator::Device rates() override {
    simulator::Device device;
    device.name = std::string("CPU (") + kernels::vector_target() + ")";
    device.threads = threads_;
    for (const std::int64_t rows : {1, 4, 16, 64})
      device.products.push_back({static_cast<double>(rows), product(rows, false)});
    for (const std::int64_t rows : {16, 128, 512})
      device.prompt_products.push_back({static_cast<double>(rows), product(rows, true)});
    device.prompt_attention_flops_s = prompt_attention();
    device.attention_bytes_s = attention();
    device.memory_bytes_s = 2 * copy_rate(Way::in, kSeconds);
    device.kernel_s = seconds_of(kSeconds, [&] { product_once(1, false, 16, 0); });
    device.embedding_values_s = embedding();
    return device;
  }

  double copy_rate(Way way, double seconds) override {
    const auto half = kBeyondCaches / 2;
    const auto copy = [&](std::span<std::byte> to, std::span<std::byte> from) {
      const double copy_s = seconds_of(seconds, [&] { std::memcpy(to.data(), from.data(), half); });
      return static_cast<double>(half) / copy_s;
    };
    if (way == Way::in) return copy(memory_[0], memory_[1]);
    if (way == Way::out) return copy(memory_[1], memory_[0]);
    double other = 0;
    std::jthread thread([&] { other = copy(memory_[0].subspan(half), memory_[1].subspan(half)); });
    const double own = copy(memory_[1], memory_[0]);
    thread.join();
    return own + other;
  }

  double small_copy_s() override {
    Bytes at = 0;
    return seconds_of(kSeconds / 4,
                      [&] {
                        for (int i = 0; i < 64; ++i, at = (at + 64 * kKiB) % kBeyondCaches)
                          std::memcpy(memory_[0].data() + at, memory_[1].data() + at, 2 * kKiB);
                      }) /
           64;
  }

  void send(comm::DeviceLink&, Bytes) override { no_device(); }
  void recv(comm::DeviceLink&, Bytes) override { no_device(); }

 private:
  [[noreturn]] static void no_device() {
    OPTPIPE_CHECK(false, "a CPU has no link of its own");
    std::abort();
  }

  // fp16 values around 1: no subnormal numbers, which some cores take long for.
  static void fill(std::span<std::byte> memory) {
    std::mt19937 engine(1);
    std::array<std::uint16_t, 4096> block{};
    for (auto& value : block) value = static_cast<std::uint16_t>(0x3000 + engine() % 0x1000);
    for (Bytes at = 0; at + sizeof block <= memory.size(); at += sizeof block)
      std::memcpy(memory.data() + at, block.data(), sizeof block);
  }

  void product_once(std::int64_t rows, bool prompt, std::int64_t width, Bytes at) {
    const kernels::MatrixPiece piece{memory_[0].data() + at, width};
    const kernels::MatrixView weight{DType::f16, width, kWidth, {&piece, 1}};
    x_.resize(static_cast<std::size_t>(rows * kWidth), 0.5f);
    out_.resize(static_cast<std::size_t>(rows * kWidth));
    const auto run = prompt ? kernels::prompt_linear : kernels::linear;
    run(x_.data(), kWidth, rows, weight, {}, kernels::Epilogue::none, out_.data(), kWidth, threads_);
  }

  // Weights rotate through more than the caches hold.
  double product(std::int64_t rows, bool prompt) {
    constexpr Bytes kMatrix = kWidth * kWidth * 2;
    Bytes at = 0;
    const double product_s = seconds_of(kSeconds, [&] {
      product_once(rows, prompt, kWidth, at);
      at = (at + kMatrix) % kBeyondCaches;
    });
    return 2.0 * static_cast<double>(rows * kWidth * kWidth) / product_s;
  }

  double prompt_attention() {
    constexpr std::int64_t kRows = 256;
    const double attention_s = attend(kRows, kRows, 4);
    return 4.0 * 2 * kHeads * kHeadDim * kRows * kRows / attention_s;
  }
  double attention() {
    constexpr std::int64_t kSequences = 16, kContext = 512;
    const double attention_s = attend(1, kContext, kSequences);
    return 2.0 * 2 * kSequences * kContext * kHeads * kHeadDim / attention_s;
  }
  double attend(std::int64_t rows, std::int64_t context, std::int64_t sequences) {
    constexpr std::int64_t kColumns = kHeads * kHeadDim;
    x_.resize(static_cast<std::size_t>(sequences * rows * kColumns), 0.5f);
    out_.resize(x_.size());
    const Bytes bytes = static_cast<Bytes>(context * kColumns) * 2;
    Bytes at = 0;
    std::vector<kernels::AttentionTask> tasks;
    return seconds_of(kSeconds, [&] {
      tasks.clear();
      for (std::int64_t s = 0; s < sequences; ++s, at = (at + bytes) % (kBeyondCaches - bytes)) {
        at -= at % 64;
        const auto first = static_cast<std::size_t>(s * rows * kColumns);
        tasks.push_back({x_.data() + first, memory_[0].data() + at, memory_[1].data() + at,
                         out_.data() + first, rows, context, kHeads, kColumns, kColumns});
      }
      kernels::attention(tasks, kHeadDim, DType::f16, threads_);
    });
  }

  // A row of each table widened and added, by one thread.
  double embedding() {
    std::vector<float> token(kWidth), place(kWidth);
    std::size_t row = 0;
    const double row_s =
        seconds_of(
            kSeconds / 4,
            [&] {
              for (int i = 0; i < 64; ++i) {
                row = (row + 7919) % (kBeyondCaches / (2 * kWidth));
                kernels::to_float(memory_[0].data() + row * 2 * kWidth, DType::f16, token.data(), kWidth);
                kernels::to_float(memory_[1].data() + row * 2 * kWidth, DType::f16, place.data(), kWidth);
                for (std::size_t c = 0; c < kWidth; ++c) token[c] += place[c];
                kernels::from_float(token.data(), memory_[1].data() + row * 2 * kWidth, DType::f16, kWidth);
              }
            }) /
        64;
    return kWidth / row_s;
  }

  int threads_;
  memory::HostPages pages_;
  memory::Arena arena_;
  std::array<std::span<std::byte>, 2> memory_;
  std::vector<float> x_, out_;
};

}  // namespace

std::unique_ptr<DeviceProbe> make_cpu_probe(int threads) { return std::make_unique<CpuProbe>(threads); }

}  // namespace optpipe::executor
