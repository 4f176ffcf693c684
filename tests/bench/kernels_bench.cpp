// Speed of the CPU kernels beside what the machine can do, measured in the same process:
//   bench_kernels --threads=2 [--benchmark_filter=...] [--benchmark_repetitions=5]
// bytes_per_second of decoding stands against that of Memory/read, FLOP/s of prefill against OpenBLAS's on
// the same threads. Decoding cycles through more weights and caches than any cache holds, so that they come
// from memory.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "optpipe/kernels/cpu.hpp"

#ifdef OPTPIPE_BENCH_OPENBLAS
#include <cblas.h>
#endif

namespace optpipe::kernels {
namespace {

constexpr std::int64_t kWorkingSet = std::int64_t{1} << 30;  // bytes
int threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));

// kWorkingSet bytes of finite halves, written once by all threads.
const std::byte* working_set() {
  static const auto memory = [] {
    auto bytes = std::make_unique<std::byte[]>(kWorkingSet);
    std::vector<std::uint16_t> block(1 << 16);
    std::mt19937 random(1);
    std::normal_distribution<float> normal(0, 0.05f);
    for (auto& half : block) half = float_to_half(normal(random));
    const auto size = static_cast<std::int64_t>(block.size() * 2);
    for (std::int64_t i = 0; i < kWorkingSet; i += size)
      std::memcpy(bytes.get() + i, block.data(), static_cast<std::size_t>(size));
    return bytes;
  }();
  return memory.get();
}

std::vector<float> numbers(std::int64_t count) {
  std::vector<float> result(static_cast<std::size_t>(count));
  std::mt19937 random(2);
  std::normal_distribution<float> normal;
  for (float& value : result) value = normal(random);
  return result;
}

void count_bytes(benchmark::State& state, double bytes) {
  state.counters["bytes_per_second"] =
      benchmark::Counter(bytes, benchmark::Counter::kIsIterationInvariantRate, benchmark::Counter::kIs1024);
}
void count_operations(benchmark::State& state, double operations) {
  state.counters["FLOP/s"] = benchmark::Counter(operations, benchmark::Counter::kIsIterationInvariantRate);
}

// What the memory gives: all threads add up their parts of the working set.
void read_memory(benchmark::State& state) {
  const auto* words = reinterpret_cast<const std::uint64_t*>(working_set());
  for (auto _ : state) {
    std::uint64_t sum = 0;
#pragma omp parallel for num_threads(threads) reduction(+ : sum) schedule(static)
    for (std::int64_t i = 0; i < kWorkingSet / 64; ++i)
      for (std::int64_t j = 0; j < 8; ++j) sum += words[8 * i + j];
    benchmark::DoNotOptimize(sum);
  }
  count_bytes(state, static_cast<double>(kWorkingSet));
}

// As a decode step does: every weight matrix of a model once. Arguments: m, n, k.
void decode_linear(benchmark::State& state) {
  const std::int64_t m = state.range(0), n = state.range(1), k = state.range(2);
  const std::int64_t matrix = 2 * n * k, matrices = kWorkingSet / matrix;
  const auto x = numbers(m * k);
  std::vector<float> out(static_cast<std::size_t>(m * n));
  const std::byte* weights = working_set();
  for (auto _ : state) {
    for (std::int64_t i = 0; i < matrices; ++i) {
      const MatrixPiece piece{weights + i * matrix, n};
      linear(x.data(), k, m, {DType::f16, n, k, {&piece, 1}}, {}, Epilogue::none, out.data(), n, threads);
    }
    benchmark::DoNotOptimize(out.data());
  }
  count_bytes(state, static_cast<double>(matrix * matrices));
}

void prefill_linear(benchmark::State& state) {
  const std::int64_t m = state.range(0), n = state.range(1), k = state.range(2);
  const auto x = numbers(m * k);
  std::vector<float> out(static_cast<std::size_t>(m * n));
  const MatrixPiece piece{working_set(), n};
  for (auto _ : state) {
    linear(x.data(), k, m, {DType::f16, n, k, {&piece, 1}}, {}, Epilogue::none, out.data(), n, threads);
    benchmark::DoNotOptimize(out.data());
  }
  count_operations(state, 2.0 * static_cast<double>(m * n * k));
}

#ifdef OPTPIPE_BENCH_OPENBLAS
// The same product with weights that are fp32 already.
void openblas_sgemm(benchmark::State& state) {
  const std::int64_t m = state.range(0), n = state.range(1), k = state.range(2);
  const auto x = numbers(m * k), weight = numbers(n * k);
  std::vector<float> out(static_cast<std::size_t>(m * n));
  openblas_set_num_threads(threads);
  const auto M = static_cast<blasint>(m), N = static_cast<blasint>(n), K = static_cast<blasint>(k);
  for (auto _ : state) {
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, M, N, K, 1, x.data(), K, weight.data(), K, 0,
                out.data(), N);
    benchmark::DoNotOptimize(out.data());
  }
  count_operations(state, 2.0 * static_cast<double>(m * n * k));
}
#endif

// One decode step's attention over all layers' caches. Arguments: sequences, context, heads, head dimension.
void decode_attention(benchmark::State& state) {
  const std::int64_t sequences = state.range(0), context = state.range(1), heads = state.range(2),
                     dim = state.range(3);
  const std::int64_t width = heads * dim, cache = 2 * context * width;
  const std::int64_t layers = kWorkingSet / (2 * cache * sequences);
  const auto q = numbers(sequences * width);
  std::vector<float> out(q.size());
  const std::byte* memory = working_set();
  for (auto _ : state)
    for (std::int64_t layer = 0; layer < layers; ++layer) {
      std::vector<AttentionTask> tasks;
      for (std::int64_t i = 0; i < sequences; ++i) {
        const std::byte* at = memory + (layer * sequences + i) * 2 * cache;
        tasks.push_back(
            {q.data() + i * width, at, at + cache, out.data() + i * width, 1, context, heads, width, width});
      }
      attention(tasks, dim, DType::f16, threads);
    }
  count_bytes(state, static_cast<double>(layers * sequences * 2 * cache));
}

// Counts the operations below the causal mask only.
void prefill_attention(benchmark::State& state) {
  const std::int64_t sequences = state.range(0), context = state.range(1), heads = state.range(2),
                     dim = state.range(3);
  const std::int64_t width = heads * dim;
  const auto q = numbers(sequences * context * width);
  std::vector<float> out(q.size());
  std::vector<AttentionTask> tasks;
  for (std::int64_t i = 0; i < sequences; ++i) {
    const std::byte* at = working_set() + i * 4 * context * width;
    tasks.push_back({q.data() + i * context * width, at, at + 2 * context * width,
                     out.data() + i * context * width, context, context, heads, width, width});
  }
  for (auto _ : state) {
    attention(tasks, dim, DType::f16, threads);
    benchmark::DoNotOptimize(out.data());
  }
  count_operations(state, 4.0 * static_cast<double>(sequences * heads * dim) * static_cast<double>(context) *
                              (static_cast<double>(context) + 1) / 2);
}

// What the cores give: independent chains of fused multiply-adds are what prefill is made of. 16 rows of x
// and a weight panel in the first-level cache come as close to it as any product can.
void register_set() {
  const auto wall = [](benchmark::internal::Benchmark* b) {
    return b->UseRealTime()->Unit(benchmark::kMillisecond)->Repetitions(5)->ReportAggregatesOnly(true);
  };
  wall(benchmark::RegisterBenchmark("Memory/read", read_memory));
  auto* decode =
      wall(benchmark::RegisterBenchmark("Decode/linear", decode_linear))->ArgNames({"m", "n", "k"});
  for (const std::int64_t m : {1, 2, 4, 8, 12})
    for (const auto& [n, k] : {std::pair<std::int64_t, std::int64_t>{3072, 768}, {4096, 4096}})
      decode->Args({m, n, k});
  const std::vector<std::vector<std::int64_t>> products = {
      {16, 3072, 768}, {64, 3072, 768}, {512, 3072, 768}, {512, 768, 3072}, {2048, 4096, 4096}};
  for (const auto& product : products) {
    wall(benchmark::RegisterBenchmark("Prefill/linear", prefill_linear))
        ->ArgNames({"m", "n", "k"})
        ->Args(product);
#ifdef OPTPIPE_BENCH_OPENBLAS
    wall(benchmark::RegisterBenchmark("Prefill/openblas", openblas_sgemm))
        ->ArgNames({"m", "n", "k"})
        ->Args(product);
#endif
  }
  const std::vector<std::string> names = {"sequences", "context", "heads", "dim"};
  wall(benchmark::RegisterBenchmark("Decode/attention", decode_attention))
      ->ArgNames(names)
      ->Args({1, 512, 12, 64})
      ->Args({16, 512, 12, 64})
      ->Args({4, 1024, 32, 128});
  wall(benchmark::RegisterBenchmark("Prefill/attention", prefill_attention))
      ->ArgNames(names)
      ->Args({4, 512, 12, 64})
      ->Args({1, 1024, 32, 128});
}

// Removes --threads=N from the arguments.
void take_threads(int& argc, char** argv) {
  const std::string prefix = "--threads=";
  const auto end = std::remove_if(argv + 1, argv + argc, [&](const char* argument) {
    const std::string text = argument;
    if (!text.starts_with(prefix)) return false;
    threads = std::max(1, std::stoi(text.substr(prefix.size())));
    return true;
  });
  argc = static_cast<int>(end - argv);
}

}  // namespace
}  // namespace optpipe::kernels

int main(int argc, char** argv) {
  optpipe::kernels::take_threads(argc, argv);
  optpipe::kernels::register_set();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::AddCustomContext("vector target", optpipe::kernels::vector_target());
  benchmark::AddCustomContext("threads", std::to_string(optpipe::kernels::threads));
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
