// A whole model on this machine's cores: prefill and decode of a public OPT size with random weights.
//   bench_model --threads=2 [--model=opt-125m]
// Decode/step reports the bytes of weights that it reads a second; Memory/read, measured in the same run, is
// its ceiling.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "optpipe/executor/stage.hpp"
#include "optpipe/model/tensors.hpp"

namespace optpipe {
namespace {

int threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
std::string size_name = "opt-125m";

class Prompts final : public executor::TokenSink {
 public:
  explicit Prompts(std::int64_t length) : prompt_(static_cast<std::size_t>(length)) {
    std::iota(prompt_.begin(), prompt_.end(), 5);
  }
  std::span<const std::int32_t> prompt(std::int64_t) const override { return prompt_; }
  bool accept(std::int64_t, std::int32_t) override { return true; }

 private:
  std::vector<std::int32_t> prompt_;
};

struct Workload {
  std::int64_t prompts, prompt_length, new_tokens;
};

executor::RunStatistics run(const Workload& w) {
  const auto config = model::config_of_size(size_name);
  const auto checkpoint = model::open_dummy_checkpoint(config, 1, DType::f16);
  std::vector<memory::Sequence> sequences;
  for (std::int64_t i = 0; i < w.prompts; ++i) sequences.push_back({i, w.prompt_length, w.new_tokens});
  executor::StageOptions options;
  options.policy.gpu_batch_size = w.prompts;
  options.threads = threads;
  options.offload_directory = std::filesystem::temp_directory_path();
  const auto rounds = memory::make_rounds(sequences, options.policy, 1);
  comm::Alone alone;
  static std::unique_ptr<executor::Stage> stage;  // one at a time
  static Workload made_for{};
  if (made_for.prompts != w.prompts || made_for.prompt_length != w.prompt_length ||
      made_for.new_tokens != w.new_tokens) {
    stage.reset();
    stage = executor::make_cpu_stage(config, model::balance_stages(config, 1).front(), *checkpoint, rounds,
                                     options, alone, {});
    made_for = w;
  }
  Prompts prompts(w.prompt_length);
  return stage->run(rounds.front(), &prompts);
}

// fp16 bytes that a decode step reads whatever the batch: layers and LM head.
double weight_bytes() {
  const auto config = model::config_of_size(size_name);
  std::int64_t elements = 0;
  for (int layer = 0; layer < config.layers; ++layer)
    for (const auto& spec : model::layer_tensors(config, LayerId(layer)))
      elements += spec.rows * spec.columns;
  for (const auto& spec : model::head_tensors(config)) elements += spec.rows * spec.columns;
  return 2.0 * static_cast<double>(elements);
}

void read_memory(benchmark::State& state) {
  constexpr std::int64_t kBytes = std::int64_t{1} << 30;  // beyond any cache
  static const std::vector<std::uint64_t> words(kBytes / 8, 3);
  for (auto _ : state) {
    std::uint64_t sum = 0;
#pragma omp parallel for num_threads(threads) reduction(+ : sum) schedule(static)
    for (std::int64_t i = 0; i < kBytes / 64; ++i)
      for (std::int64_t j = 0; j < 8; ++j) sum += words[static_cast<std::size_t>(8 * i + j)];
    benchmark::DoNotOptimize(sum);
  }
  state.counters["bytes_per_second"] =
      benchmark::Counter(static_cast<double>(kBytes), benchmark::Counter::kIsIterationInvariantRate,
                         benchmark::Counter::kIs1024);
}

void prefill(benchmark::State& state) {
  const Workload workload{state.range(0), state.range(1), 1};
  for (auto _ : state) state.SetIterationTime(run(workload).prefill_s);
  state.counters["token/s"] =
      benchmark::Counter(static_cast<double>(workload.prompts * workload.prompt_length),
                         benchmark::Counter::kIsIterationInvariantRate);
}

void decode(benchmark::State& state) {
  const Workload workload{state.range(0), state.range(1), 33};
  const auto steps = static_cast<double>(workload.new_tokens - 1);
  for (auto _ : state) {
    const auto statistics = run(workload);
    state.SetIterationTime((statistics.total_s - statistics.prefill_s) / steps);
  }
  state.counters["token/s"] = benchmark::Counter(static_cast<double>(workload.prompts),
                                                 benchmark::Counter::kIsIterationInvariantRate);
  state.counters["weight_bytes_per_second"] = benchmark::Counter(
      weight_bytes(), benchmark::Counter::kIsIterationInvariantRate, benchmark::Counter::kIs1024);
}

void register_all() {
  const auto repeated = [](benchmark::internal::Benchmark* b) {
    return b->Unit(benchmark::kMillisecond)->Repetitions(5)->Iterations(2)->ReportAggregatesOnly(true);
  };
  repeated(benchmark::RegisterBenchmark("Memory/read", read_memory))->UseRealTime();
  repeated(benchmark::RegisterBenchmark("Prefill", prefill))
      ->ArgNames({"prompts", "length"})
      ->Args({1, 512})
      ->Args({8, 256})
      ->UseManualTime();
  repeated(benchmark::RegisterBenchmark("Decode/step", decode))
      ->ArgNames({"prompts", "length"})
      ->Args({1, 64})
      ->Args({8, 64})
      ->Args({32, 64})
      ->UseManualTime();
}

void take_arguments(int& argc, char** argv) {
  const auto end = std::remove_if(argv + 1, argv + argc, [&](const char* argument) {
    const std::string text = argument;
    if (text.starts_with("--threads="))
      threads = std::max(1, std::stoi(text.substr(10)));
    else if (text.starts_with("--model="))
      size_name = text.substr(8);
    else
      return false;
    return true;
  });
  argc = static_cast<int>(end - argv);
}

}  // namespace
}  // namespace optpipe

int main(int argc, char** argv) {
  optpipe::take_arguments(argc, argv);
  optpipe::register_all();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::AddCustomContext("model", optpipe::size_name);
  benchmark::AddCustomContext("threads", std::to_string(optpipe::threads));
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
