// Products of a layer by the number of rows of x: microseconds with the library's ranking and with the
// algorithms chosen by their times as at a stage's set-up, GB/s of the weight with these, and '*' where the
// bits of some row differ from those that it has among most rows. --explain: which algorithms they are.
#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <memory>
#include <random>
#include <ranges>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels/cuda/matmul.hpp"
#include "optpipe/base/dtype.hpp"
#include "optpipe/base/log.hpp"

namespace optpipe::kernels::cuda {
namespace {

void require(cudaError_t status) {
  if (status != cudaSuccess) throw std::runtime_error(cudaGetErrorString(status));
}

struct Free {
  void operator()(std::byte* data) const { (void)cudaFree(data); }
};
using Memory = std::unique_ptr<std::byte, Free>;

Memory allocate(std::size_t bytes) {
  void* data = nullptr;
  require(cudaMalloc(&data, bytes));
  return Memory(static_cast<std::byte*>(data));
}

void fill(std::byte* to, std::size_t halves, float scale) {
  std::mt19937 engine(7);
  std::normal_distribution<float> distribution(0, scale);
  std::vector<Half> block(std::min<std::size_t>(halves, 4999999));
  for (Half& value : block) value = float_to_half(distribution(engine));
  for (std::size_t at = 0; at < halves; at += block.size())
    require(cudaMemcpy(to + at * sizeof(Half), block.data(),
                       std::min(block.size(), halves - at) * sizeof(Half), cudaMemcpyHostToDevice));
}

struct Shape {
  const char* name;
  std::int64_t n, k;
  bool bias, relu, add, wide;
  std::int64_t whole_n = 0;  // 0: n
};

constexpr Shape kShapes[] = {{"6.7B qkv", 12288, 4096, true, false, false, false},
                             {"6.7B q", 4096, 4096, true, false, false, false, 12288},
                             {"6.7B o", 4096, 4096, true, false, true, false},
                             {"6.7B fc1", 16384, 4096, true, true, false, false},
                             {"6.7B fc2", 4096, 16384, true, false, true, false},
                             {"6.7B head", 50272, 4096, false, false, false, true},
                             {"30B qkv", 21504, 7168, true, false, false, false},
                             {"30B o", 7168, 7168, true, false, true, false},
                             {"30B fc1", 28672, 7168, true, true, false, false},
                             {"30B fc2", 7168, 28672, true, false, true, false},
                             {"125M qkv", 2304, 768, true, false, false, false},
                             {"125M fc2", 768, 3072, true, false, true, false}};

constexpr std::int64_t kRows[] = {4096, 2048, 1024, 768, 640, 512, 448, 384, 320, 288,
                                  256,  224,  192,  160, 144, 128, 96,  80,  64,  48,
                                  33,   32,   24,   17,  16,  8,   3,   2,   1};
constexpr std::int64_t kMost = 4096, kCompared = 200;  // rows
constexpr std::size_t kWeights = std::size_t{1} << 30;

struct Bench {
  static constexpr Bytes kWorkspace = Bytes{32} << 20;
  Memory x = allocate(kMost * 28672 * sizeof(Half)), weights = allocate(kWeights),
         bias = allocate(65536 * sizeof(Half)), out = allocate(kMost * 50272 * sizeof(float)),
         workspace = allocate(kWorkspace);
  cudaStream_t stream = nullptr;
  cudaEvent_t begin = nullptr, end = nullptr;

  Bench() {
    fill(x.get(), kMost * 28672, 1);
    fill(weights.get(), kWeights / sizeof(Half), 0.02f);
    fill(bias.get(), 65536, 1);
    require(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    require(cudaEventCreate(&begin));
    require(cudaEventCreate(&end));
  }

  bool run(Matmul& matmul, const Shape& s, std::int64_t m, int turn) {
    const std::size_t copies = std::max<std::size_t>(1, kWeights / (2 * static_cast<std::size_t>(s.n * s.k)));
    return matmul.run(
        {.m = m,
         .n = s.n,
         .k = s.k,
         .x_stride = s.k,
         .out_stride = s.n,
         .whole_n = s.whole_n > 0 ? s.whole_n : s.n,
         .x = reinterpret_cast<Half*>(x.get()),
         .weight = reinterpret_cast<Half*>(weights.get()) +
                   static_cast<std::int64_t>(static_cast<std::size_t>(turn) % copies) * s.n * s.k,
         .bias = s.bias ? reinterpret_cast<Half*>(bias.get()) : nullptr,
         .relu = s.relu,
         .add = s.add,
         .wide = s.wide,
         .out = out.get()},
        stream);
  }

  std::vector<std::byte> bits(Matmul& matmul, const Shape& s, std::int64_t m) {
    const auto bytes = static_cast<std::size_t>(s.n) * (s.wide ? 4 : 2);
    require(cudaMemsetAsync(out.get(), 0x2c, static_cast<std::size_t>(m) * bytes, stream));
    if (!run(matmul, s, m, 0)) return {};
    std::vector<std::byte> result(static_cast<std::size_t>(std::min(m, kCompared)) * bytes);
    require(cudaMemcpyAsync(result.data(), out.get(), result.size(), cudaMemcpyDeviceToHost, stream));
    require(cudaStreamSynchronize(stream));
    return result;
  }

  // The least of several, for the host may be interrupted.
  double microseconds(Matmul& matmul, const Shape& s, std::int64_t m) {
    double least = calls_time(matmul, s, m);
    for (int i = 0; i < 3; ++i) least = std::min(least, calls_time(matmul, s, m));
    return least;
  }

  double calls_time(Matmul& matmul, const Shape& s, std::int64_t m) {
    const int calls = m > 256 ? 3 : 8;
    for (int i = 0; i < 2; ++i) run(matmul, s, m, i);
    require(cudaEventRecord(begin, stream));
    for (int i = 0; i < calls; ++i) run(matmul, s, m, i + 2);
    require(cudaEventRecord(end, stream));
    require(cudaEventSynchronize(end));
    float milliseconds = 0;
    require(cudaEventElapsedTime(&milliseconds, begin, end));
    return milliseconds * 1e3 / calls;
  }

  // Seconds that the choices take.
  double choose(Matmul& matmul, const Shape& s) {
    const auto start = std::chrono::steady_clock::now();
    matmul.start_timing({weights.get(), kWeights});
    std::vector<std::int64_t> classes;
    for (std::int64_t m = 1; m <= kMost; m = row_class(m + 1)) classes.push_back(m);
    for (const auto m : classes | std::views::reverse) run(matmul, s, m, 0);
    matmul.stop_timing();
    require(cudaStreamSynchronize(stream));
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }

  // Beside each other, for clocks rise and fall.
  void measure(const Shape& s) {
    Matmul ranked(workspace.get(), kWorkspace), timed(workspace.get(), kWorkspace);
    const double seconds = choose(timed, s);
    fmt::print("{} [{} x {}], {:.0f} MB, chosen in {:.2f} s\n{:>8}", s.name, s.n, s.k,
               static_cast<double>(s.n * s.k) * 2e-6, seconds, "rows");
    for (const auto m : kRows) fmt::print("{:>8}", m);
    std::vector<std::byte> reference;
    std::string before, after, rates;
    const auto measure_one = [&](Matmul& matmul, std::int64_t m, std::string& times) {
      const auto own = bits(matmul, s, m);
      if (reference.empty()) reference = own;
      const bool same = !own.empty() && std::memcmp(own.data(), reference.data(), own.size()) == 0;
      const double us = own.empty() ? 0 : microseconds(matmul, s, m);
      times += fmt::format("{:>7.1f}{}", us, same ? ' ' : '*');
      return us;
    };
    for (const auto m : kRows) {
      measure_one(ranked, m, before);
      const double us = measure_one(timed, m, after);
      rates += fmt::format("{:>7.0f} ", us > 0 ? static_cast<double>(s.n * s.k) * 2e-3 / us : 0);
    }
    fmt::print("\n{:>8}{}\n{:>8}{}\n{:>8}{}\n", "ranked", before, "timed", after, "GB/s", rates);
    std::fflush(stdout);
  }
};

}  // namespace
}  // namespace optpipe::kernels::cuda

int main(int argc, char** argv) try {
  using namespace optpipe::kernels::cuda;
  const bool explain = argc > 1 && std::string(argv[1]) == "--explain";
  optpipe::set_up_log(true, explain ? optpipe::Verbosity::debug : optpipe::Verbosity::normal);
  if (device_count() == 0) {
    std::fputs("no GPU here: nothing to measure\n", stderr);
    return 1;
  }
  Bench bench;
  for (const Shape& shape : kShapes) bench.measure(shape);
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
