// Speed of the CPU kernels beside what the machine can do, measured in turns so that both see the same load:
//   bench_kernels [--threads=2] [--benchmark_filter=...]
// Decoding: bytes of weights or caches a second, and as a part of what plain reading of memory gives. It
// cycles through more bytes than caches hold. Prefill: operations a second, and as a multiple of OpenBLAS's
// on the same threads.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "optpipe/kernels/cpu.hpp"
#include "optpipe/kernels/quantized.hpp"

#ifdef OPTPIPE_BENCH_OPENBLAS
#include <cblas.h>
#endif

namespace optpipe::kernels {
namespace {

constexpr std::int64_t kWorkingSet = std::int64_t{1} << 30;  // bytes
int threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));

// kWorkingSet bytes of finite halves.
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

template <class Work>
double seconds_of(const Work& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

// Times `work` as the benchmark's iterations and `yardstick` after each; returns yardstick's time / work's
// time.
template <class Work, class Yardstick>
double compare(benchmark::State& state, const Work& work, const Yardstick& yardstick) {
  double worked = 0, measured = 0;
  for (auto _ : state) {
    const double seconds = seconds_of(work);
    state.SetIterationTime(seconds);
    worked += seconds;
    measured += seconds_of(yardstick);
  }
  return measured / worked;
}

void count(benchmark::State& state, const char* what, double number) {
  state.counters[what] = benchmark::Counter(number, benchmark::Counter::kIsIterationInvariantRate);
}

// All threads add up their parts of the working set, as four streams each.
void read_memory() {
  const auto* words = reinterpret_cast<const std::uint64_t*>(working_set());
  constexpr std::int64_t kBlock = 4096,
                         kBlocks = kWorkingSet / 8 / kBlock;  // words; four streams read a block
  std::uint64_t sum = 0;
#pragma omp parallel for num_threads(threads) reduction(+ : sum) schedule(static)
  for (std::int64_t block = 0; block < kBlocks; ++block) {
    const std::uint64_t* from = words + block * kBlock;
    for (std::int64_t i = 0; i < kBlock / 4; i += 8)
      for (std::int64_t stream = 0; stream < 4; ++stream)
        for (std::int64_t j = 0; j < 8; ++j) sum += from[stream * (kBlock / 4) + i + j];
  }
  benchmark::DoNotOptimize(sum);
}

// Runs `work`, which reads `bytes`, against plain reading.
template <class Work>
void run_against_memory(benchmark::State& state, double bytes, const Work& work) {
  const double ratio = compare(state, work, read_memory);
  count(state, "bytes/s", bytes);
  state.counters["of_reading"] = ratio * bytes / static_cast<double>(kWorkingSet);
}

// As a decode step does: every weight matrix of a model once. Arguments: m, n, k.
void decode_linear(benchmark::State& state) {
  const std::int64_t m = state.range(0), n = state.range(1), k = state.range(2);
  const std::int64_t matrix = 2 * n * k, matrices = kWorkingSet / matrix;
  const auto x = numbers(m * k);
  std::vector<float> out(static_cast<std::size_t>(m * n));
  const std::byte* weights = working_set();
  run_against_memory(state, static_cast<double>(matrix * matrices), [&] {
    for (std::int64_t i = 0; i < matrices; ++i) {
      const MatrixPiece piece{weights + i * matrix, n};
      linear(x.data(), k, m, {DType::f16, n, k, {&piece, 1}}, {}, Epilogue::none, out.data(), n, threads);
    }
  });
}

// The same with weights of so many bits. Any bytes are codes of finite numbers here.
void decode_quantized_linear(benchmark::State& state) {
  const std::int64_t m = state.range(0), n = state.range(1), k = state.range(2);
  const auto format = state.range(3) == 8 ? StorageFormat::q8 : StorageFormat::q4;
  const auto matrix = n * static_cast<std::int64_t>(RowFormat{format, DType::f16, k}.row_bytes()),
             matrices = kWorkingSet / matrix;
  const auto x = numbers(m * k);
  std::vector<float> out(static_cast<std::size_t>(m * n));
  const std::byte* weights = working_set();
  run_against_memory(state, static_cast<double>(matrix * matrices), [&] {
    for (std::int64_t i = 0; i < matrices; ++i) {
      const MatrixPiece piece{weights + i * matrix, n};
      linear(x.data(), k, m, {DType::f16, n, k, {&piece, 1}, format}, {}, Epilogue::none, out.data(), n,
             threads);
    }
  });
}

// One thread, fp32 numbers of a row that is in the cache: bytes of fp16 weights that a core quantizes in a
// second.
void quantize_rows(benchmark::State& state) {
  const RowFormat format{state.range(0) == 8 ? StorageFormat::q8 : StorageFormat::q4, DType::f16, 4096};
  const auto row = numbers(format.run);
  std::vector<std::byte> codes(format.row_bytes());
  for (auto _ : state) {
    quantize(format, 1, row.data(), codes.data());
    benchmark::DoNotOptimize(codes.data());
    benchmark::ClobberMemory();
  }
  count(state, "fp16 bytes/s", static_cast<double>(2 * format.run));
}

void prefill_linear(benchmark::State& state) {
  const std::int64_t m = state.range(0), n = state.range(1), k = state.range(2);
  const auto x = numbers(m * k);
  std::vector<float> out(static_cast<std::size_t>(m * n));
  const MatrixPiece piece{working_set(), n};
  const auto run_linear = [&] {
    linear(x.data(), k, m, {DType::f16, n, k, {&piece, 1}}, {}, Epilogue::none, out.data(), n, threads);
  };
#ifdef OPTPIPE_BENCH_OPENBLAS
  const auto weight = numbers(n * k);  // fp32 already
  openblas_set_num_threads(threads);
  const auto M = static_cast<blasint>(m), N = static_cast<blasint>(n), K = static_cast<blasint>(k);
  state.counters["of_OpenBLAS"] = compare(state, run_linear, [&] {
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, M, N, K, 1, x.data(), K, weight.data(), K, 0,
                out.data(), N);
  });
#else
  compare(state, run_linear, [] {});
#endif
  count(state, "FLOP/s", 2.0 * static_cast<double>(m * n * k));
}

// The same of quantized rows of so many heads.
const std::byte* quantized_set(const RowFormat& format, std::int64_t heads) {
  static std::unique_ptr<std::byte[]> bytes(new std::byte[kWorkingSet]);
  const auto row = static_cast<std::int64_t>(format.row_bytes(heads));
  for (std::int64_t i = 0; i + row <= kWorkingSet; i += row) {
    if (i < 8 * row) {
      const auto values = numbers(heads * format.run);
      narrow_row(format, heads, values.data(), bytes.get() + i);
    } else {
      std::memcpy(bytes.get() + i, bytes.get() + i % (8 * row), static_cast<std::size_t>(row));
    }
  }
  return bytes.get();
}

// Some sequences' attention over one layer's caches in the working set, from byte `at` on.
struct Attention {
  std::int64_t sequences, context, heads, dim, rows;
  RowFormat format;
  const std::byte* memory;
  std::vector<float> q, out;

  Attention(const benchmark::State& state, bool decode, StorageFormat storage = StorageFormat::native)
      : sequences(state.range(0)),
        context(state.range(1)),
        heads(state.range(2)),
        dim(state.range(3)),
        rows(decode ? 1 : context),
        format{storage, DType::f16, dim},
        memory(is_quantized(storage) ? quantized_set(format, heads) : working_set()),
        q(numbers(sequences * rows * heads * dim)),
        out(q.size()) {}
  std::int64_t width() const { return heads * dim; }
  // Of keys, and of values.
  std::int64_t cache_bytes() const { return context * static_cast<std::int64_t>(format.row_bytes(heads)); }

  void run(std::int64_t at) {
    std::vector<AttentionTask> tasks;
    for (std::int64_t i = 0; i < sequences; ++i) {
      const std::byte* keys = memory + at + i * 2 * cache_bytes();
      const std::int64_t offset = i * rows * width();
      tasks.push_back({q.data() + offset, keys, keys + cache_bytes(), out.data() + offset, rows, context,
                       heads, width(), width()});
    }
    attention(tasks, format, threads);
  }
};

// One decode step's attention over all layers' caches. Arguments: sequences, context, heads, head dimension.
template <StorageFormat storage>
void decode_attention(benchmark::State& state) {
  Attention work(state, true, storage);
  const std::int64_t layer = 2 * work.cache_bytes() * work.sequences, layers = kWorkingSet / layer;
  run_against_memory(state, static_cast<double>(layers * layer), [&] {
    for (std::int64_t i = 0; i < layers; ++i) work.run(i * layer);
  });
}

// Counts the operations below the causal mask only.
void prefill_attention(benchmark::State& state) {
  Attention work(state, false);
  compare(
      state, [&] { work.run(0); }, [] {});
  const double scores = static_cast<double>(work.context) * static_cast<double>(work.context + 1) / 2;
  count(state, "FLOP/s", 4.0 * static_cast<double>(work.sequences * work.width()) * scores);
}

benchmark::internal::Benchmark* add(const char* name, void (*function)(benchmark::State&),
                                    const std::vector<std::string>& arguments,
                                    const std::vector<std::vector<std::int64_t>>& values) {
  auto* result = benchmark::RegisterBenchmark(name, function)->ArgNames(arguments);
  for (const auto& value : values) result->Args(value);
  return result->UseManualTime()->Unit(benchmark::kMillisecond)->Repetitions(5)->ReportAggregatesOnly(true);
}

void add_all() {
  add("Decode/linear", decode_linear, {"m", "n", "k"},
      {{1, 3072, 768}, {4, 3072, 768}, {8, 3072, 768}, {1, 4096, 4096}, {4, 4096, 4096}, {8, 4096, 4096}});
  add("Decode/quantized", decode_quantized_linear, {"m", "n", "k", "bits"},
      {{1, 4096, 4096, 4}, {4, 4096, 4096, 4}, {1, 4096, 4096, 8}});
  benchmark::RegisterBenchmark("Quantize", quantize_rows)->ArgName("bits")->Arg(4)->Arg(8);
  add("Prefill/linear", prefill_linear, {"m", "n", "k"},
      {{16, 3072, 768}, {64, 3072, 768}, {512, 3072, 768}, {512, 768, 3072}, {2048, 4096, 4096}});
  add("Decode/attention/4bit", decode_attention<StorageFormat::q4>, {"sequences", "context", "heads", "dim"},
      {{48, 515, 56, 128}});
  add("Decode/attention/8bit", decode_attention<StorageFormat::q8>, {"sequences", "context", "heads", "dim"},
      {{48, 515, 56, 128}});
  add("Decode/attention", decode_attention<StorageFormat::native>, {"sequences", "context", "heads", "dim"},
      {{1, 512, 12, 64}, {16, 512, 12, 64}, {4, 1024, 32, 128}, {48, 515, 56, 128}});
  add("Prefill/attention", prefill_attention, {"sequences", "context", "heads", "dim"},
      {{4, 512, 12, 64}, {1, 1024, 32, 128}});
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
  optpipe::kernels::add_all();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::AddCustomContext("vector target", optpipe::kernels::vector_target());
  benchmark::AddCustomContext("threads", std::to_string(optpipe::kernels::threads));
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
