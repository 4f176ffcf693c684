// Speed of the CUDA kernels beside what the device's memory gives. Times are the device's own (events), over
// as many calls as make one measurement long; inputs are random, and rotate where the cache would hold them.
#include <benchmark/benchmark.h>
#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "optpipe/base/dtype.hpp"
#include "optpipe/kernels/cuda.hpp"

namespace optpipe::kernels::cuda {
namespace {

void require(cudaError_t status) {
  if (status != cudaSuccess) throw std::runtime_error(cudaGetErrorString(status));
}

// Some millions of normally distributed halves.
const std::vector<Half>& random_block(float scale) {
  static std::map<float, std::vector<Half>> blocks;
  std::vector<Half>& block = blocks[scale];
  if (!block.empty()) return block;
  std::mt19937 engine(7);
  std::normal_distribution<float> distribution(0, scale);
  block.resize(4999999);
  for (Half& value : block) value = float_to_half(distribution(engine));
  return block;
}

// Device memory filled with a random block, repeated.
class Memory {
 public:
  explicit Memory(std::int64_t halves, float scale = 1) {
    void* data = nullptr;
    require(cudaMalloc(&data, static_cast<std::size_t>(halves) * sizeof(Half)));
    data_.reset(static_cast<Half*>(data));
    const std::vector<Half>& block = random_block(scale);
    const auto first = std::min(halves, static_cast<std::int64_t>(block.size()));
    const auto copy_to = [&](std::int64_t at, const Half* from) {
      const auto bytes = static_cast<std::size_t>(std::min(first, halves - at)) * sizeof(Half);
      require(cudaMemcpy(data_.get() + at, from, bytes, cudaMemcpyDefault));
    };
    copy_to(0, block.data());
    for (std::int64_t at = first; at < halves; at += first) copy_to(at, data_.get());
  }
  Half* get() const { return data_.get(); }

 private:
  struct Free {
    void operator()(Half* data) const { (void)cudaFree(data); }
  };
  std::unique_ptr<Half, Free> data_;
};

struct Rig {
  Stream stream = nullptr;
  std::unique_ptr<Context> context;
  cudaEvent_t begin = nullptr, end = nullptr;

  Rig() {
    require(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    require(cudaEventCreate(&begin));
    require(cudaEventCreate(&end));
    context = std::make_unique<Context>(stream);
  }
};
Rig& rig() {
  static Rig instance;
  return instance;
}

// What one call does: operations or bytes, reported a second.
struct Work {
  double flops = 0, bytes = 0;
};

// `call(i)` enqueues the i-th call.
void measure(benchmark::State& state, const Work& work, int calls, const std::function<void(int)>& call) {
  Rig& r = rig();
  int i = 0;
  for (int warm_up = 0; warm_up < calls; ++warm_up) call(i++);
  for (auto _ : state) {
    require(cudaEventRecord(r.begin, r.stream));
    for (int n = 0; n < calls; ++n) call(i++);
    require(cudaEventRecord(r.end, r.stream));
    require(cudaEventSynchronize(r.end));
    float milliseconds = 0;
    require(cudaEventElapsedTime(&milliseconds, r.begin, r.end));
    state.SetIterationTime(milliseconds * 1e-3 / calls);
  }
  const auto rate = benchmark::Counter::kIsIterationInvariantRate;
  if (work.flops > 0) state.counters["TFLOP/s"] = benchmark::Counter(work.flops * 1e-12, rate);
  if (work.bytes > 0) state.counters["GB/s"] = benchmark::Counter(work.bytes * 1e-9, rate);
}

void copy(benchmark::State& state) {
  const std::int64_t bytes = std::int64_t{2} << 30;
  const Memory from(bytes / 2), to(bytes / 2);
  measure(state, {.bytes = 2.0 * static_cast<double>(bytes)}, 5, [&](int) {
    require(cudaMemcpyAsync(to.get(), from.get(), bytes, cudaMemcpyDeviceToDevice, rig().stream));
  });
}

// Arguments: m, n, k, epilogue. Weights rotate over more than the cache holds.
void product(benchmark::State& state) {
  const std::int64_t m = state.range(0), n = state.range(1), k = state.range(2);
  const auto epilogue = static_cast<Epilogue>(state.range(3));
  const std::int64_t copies = std::max<std::int64_t>(1, (std::int64_t{1} << 30) / (2 * n * k));
  const Memory x(m * k), weight(copies * n * k, 0.02f), bias(n), out(m * n);
  const double elements = static_cast<double>(m * k + n * k + m * n);
  const double products = static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
  measure(state, {.flops = 2 * products, .bytes = 2 * elements}, m > 1000 ? 3 : 20, [&](int i) {
    const Matrix matrix{.columns = k, .pieces = {Piece{weight.get() + i % copies * n * k, n}}};
    linear(*rig().context, x.get(), k, m, matrix, bias.get(), epilogue, out.get(), n);
  });
}

// Arguments: m, vocabulary, k.
void logits(benchmark::State& state) {
  const std::int64_t m = state.range(0), n = state.range(1), k = state.range(2);
  const std::int64_t copies = std::max<std::int64_t>(1, (std::int64_t{1} << 30) / (2 * n * k));
  const Memory x(m * k), weight(copies * n * k, 0.02f), out(2 * m * n);
  const auto bytes = static_cast<double>(2 * (m * k + n * k) + 4 * m * n);
  measure(state, {.bytes = bytes}, 10, [&](int i) {
    const Matrix matrix{.columns = k, .pieces = {Piece{weight.get() + i % copies * n * k, n}}};
    linear_f32(*rig().context, x.get(), k, m, matrix, reinterpret_cast<float*>(out.get()), n);
  });
}

// Arguments: rows, h.
void norm(benchmark::State& state) {
  const std::int64_t m = state.range(0), h = state.range(1);
  const Memory x(m * h), weight(h), bias(h), out(m * h);
  measure(state, {.bytes = 4.0 * static_cast<double>(m * h)}, 10,
          [&](int) { layer_norm(*rig().context, x.get(), m, h, weight.get(), bias.get(), out.get()); });
}

// A batch of equal sequences, one segment each.
struct Sequences {
  std::int64_t count, context, heads, dim, rows, copies;
  Memory q, out, cache;
  std::vector<KvTask> tasks;
  KvTask* device_tasks = nullptr;

  Sequences(const benchmark::State& state, bool prefill)
      : count(state.range(0)),
        context(state.range(1)),
        heads(state.range(2)),
        dim(state.range(3)),
        rows(prefill ? context : 1),
        copies(std::max<std::int64_t>(1, (std::int64_t{1} << 29) / (4 * count * context * heads * dim))),
        q(count * rows * heads * dim),
        out(count * rows * heads * dim),
        cache(copies * 2 * count * context * heads * dim) {
    const std::int64_t size = context * heads * dim;
    for (std::int64_t i = 0; i < copies * count; ++i)
      tasks.push_back({.keys = cache.get() + 2 * i * size,
                       .values = cache.get() + (2 * i + 1) * size,
                       .first_row = static_cast<std::int32_t>(i % count * rows),
                       .rows = static_cast<std::int32_t>(rows),
                       .position = static_cast<std::int32_t>(context - rows),
                       .first_head = 0,
                       .heads = static_cast<std::int32_t>(heads)});
    void* data = nullptr;
    require(cudaMalloc(&data, tasks.size() * sizeof(KvTask)));
    device_tasks = static_cast<KvTask*>(data);
    require(cudaMemcpy(data, tasks.data(), tasks.size() * sizeof(KvTask), cudaMemcpyHostToDevice));
  }
  ~Sequences() { (void)cudaFree(device_tasks); }
  Sequences(const Sequences&) = delete;
  Sequences& operator=(const Sequences&) = delete;

  KvBatch batch(int i) const {
    const auto first = i % copies * count;
    return batch_of(
        std::span(tasks).subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count)),
        device_tasks + first);
  }
  AttentionRows attention_rows() const { return {q.get(), out.get(), heads * dim, heads * dim}; }
};

// Operations that the causal mask leaves: half of those of the whole square.
void prefill(benchmark::State& state) {
  const Sequences s(state, true);
  const auto pairs = static_cast<double>(s.count * s.heads) * static_cast<double>(s.context) *
                     static_cast<double>(s.context + 1) / 2;
  measure(state, {.flops = 4 * pairs * static_cast<double>(s.dim)}, 5,
          [&](int i) { attention_prefill(*rig().context, s.batch(i), s.dim, s.attention_rows()); });
}

void decode(benchmark::State& state) {
  const Sequences s(state, false);
  measure(state, {.bytes = 4.0 * static_cast<double>(s.count * s.context * s.heads * s.dim)}, 20,
          [&](int i) { attention_decode(*rig().context, s.batch(i), s.dim, s.attention_rows()); });
}

// Arguments: rows, vocabulary, top-k, top-p in percent; top-k < 0: the largest.
void choose(benchmark::State& state) {
  const std::int64_t rows = state.range(0), vocabulary = state.range(1);
  std::mt19937 engine(3);
  std::normal_distribution<float> distribution(0, 3);
  std::vector<float> values(static_cast<std::size_t>(rows * vocabulary));
  for (float& value : values) value = distribution(engine);
  const Memory memory(2 * rows * vocabulary), draw_memory(8 * rows), token_memory(2 * rows);
  auto* logits = reinterpret_cast<float*>(memory.get());
  require(cudaMemcpy(logits, values.data(), values.size() * sizeof(float), cudaMemcpyHostToDevice));
  std::vector<Draw> draws;
  for (std::int64_t i = 0; i < rows; ++i) draws.push_back({static_cast<std::uint64_t>(i), 5});
  auto* device_draws = reinterpret_cast<Draw*>(draw_memory.get());
  require(cudaMemcpy(device_draws, draws.data(), draws.size() * sizeof(Draw), cudaMemcpyHostToDevice));
  const SamplingOptions options{.sample = state.range(2) >= 0,
                                .top_k = std::max<std::int64_t>(0, state.range(2)),
                                .top_p = static_cast<float>(state.range(3)) / 100,
                                .seed = 1};
  measure(state, {}, 5, [&](int) {
    sample(*rig().context, logits, rows, vocabulary, vocabulary, options, device_draws,
           reinterpret_cast<Token*>(token_memory.get()));
  });
}

void register_all() {
  const auto timed = [](const std::string& name, void (*function)(benchmark::State&)) {
    return benchmark::RegisterBenchmark(name.c_str(), function)
        ->UseManualTime()
        ->Unit(benchmark::kMicrosecond)
        ->MinTime(0.05);
  };
  timed("Memory/copy", copy);
  auto* products = timed("Linear", product)->ArgNames({"m", "n", "k", "epilogue"});
  products->Args({24576, 28672, 7168, 1})->Args({24576, 7168, 28672, 3})->Args({24576, 7168, 7168, 0});
  for (const std::int64_t m : {1, 24, 48}) products->Args({m, 4096, 4096, 0})->Args({m, 16384, 4096, 1});
  products->Args({48, 4096, 16384, 3})->Args({48, 28672, 7168, 1})->Args({48, 7168, 28672, 3});
  timed("Logits", logits)
      ->ArgNames({"m", "vocabulary", "k"})
      ->Args({32, 50272, 4096})
      ->Args({48, 50272, 7168});
  timed("LayerNorm", norm)->ArgNames({"m", "h"})->Args({24576, 7168})->Args({24576, 4096})->Args({48, 7168});
  const std::vector<std::string> names = {"sequences", "context", "heads", "dim"};
  auto* prefills = timed("Prefill", prefill)->ArgNames(names);
  prefills->Args({48, 512, 56, 128})->Args({32, 512, 32, 128})->Args({32, 512, 32, 80});
  prefills->Args({48, 512, 32, 64})->Args({4, 2048, 32, 128});
  auto* decodes = timed("Decode", decode)->ArgNames(names);
  decodes->Args({32, 512, 32, 128})->Args({48, 544, 56, 128})->Args({24, 512, 32, 128});
  decodes->Args({32, 512, 32, 80})
      ->Args({32, 512, 32, 64})
      ->Args({1, 2048, 32, 128})
      ->Args({4, 1024, 32, 128});
  timed("Sample", choose)
      ->ArgNames({"rows", "vocabulary", "top_k", "top_p"})
      ->Args({48, 50272, -1, 100})
      ->Args({48, 50272, 0, 100})
      ->Args({48, 50272, 50, 100})
      ->Args({48, 50272, 0, 90});
}

}  // namespace
}  // namespace optpipe::kernels::cuda

int main(int argc, char** argv) {
  using namespace optpipe::kernels::cuda;
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  if (device_count() == 0) {
    std::fputs("no GPU here: nothing to measure\n", stderr);
    return 1;
  }
  cudaDeviceProp properties{};
  require(cudaGetDeviceProperties(&properties, 0));
  benchmark::AddCustomContext("device", properties.name);
  register_all();
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
