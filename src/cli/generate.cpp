#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <thread>

#include "cli/commands.hpp"
#include "cli/desk.hpp"
#include "cli/progress.hpp"
#include "cli/report.hpp"
#include "optpipe/base/environment.hpp"
#include "optpipe/executor/device_links.hpp"
#include "optpipe/executor/pipeline.hpp"
#include "optpipe/metrics/trace.hpp"
#include "optpipe/metrics/utilization.hpp"

namespace optpipe::cli {
namespace {

namespace fs = std::filesystem;

model::ModelConfig read_config(const ModelOptions& options) {
  std::error_code ignored;
  if (fs::is_directory(options.model, ignored)) return model::load_config(options.model);
  if (model::is_dummy_path(options.path)) return model::config_of_size(options.model);
  throw InputError(fmt::format(
      "--model {}: there is no such folder; give a checkpoint folder (config.json and weights), or add "
      "--path DUMMY to run a known size with random weights",
      options.model));
}

std::unique_ptr<model::Checkpoint> open_weights(const ModelOptions& options,
                                                const model::ModelConfig& config) {
  if (model::is_dummy_path(options.path))
    return model::open_dummy_checkpoint(config, options.dummy_seed, config.dtype);
  return model::open_checkpoint(options.path.empty() ? options.model : options.path);
}

std::vector<model::StageSlice> cut_model(const RunOptions& options, const model::ModelConfig& config,
                                         int ranks) {
  if (options.stage_layers.empty()) return model::balance_stages(config, ranks);
  if (static_cast<int>(options.stage_layers.size()) != ranks)
    throw UsageError(
        fmt::format("--stage-layers names {} stages, but the ranks are {}: give as many numbers as ranks",
                    options.stage_layers.size(), ranks));
  return model::cut_stages(config, options.stage_layers);
}

int thread_count(const RunOptions& options, const comm::Node& node) {
  if (options.threads > 0) return options.threads;
  if (const auto threads = omp_num_threads()) return *threads;
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()) / node.local_size);
}

// The policy for so many prompts: no more batches than there are prompts, and where the user leaves the batch
// size open, all prompts over the batches in flight, but no more than fill the cores.
memory::Policy fit_policy(memory::Policy policy, std::size_t prompt_count, int ranks) {
  constexpr std::int64_t kMost = 32;
  const auto prompts = std::max(static_cast<std::int64_t>(prompt_count), std::int64_t{1});
  policy.gpu_batches = std::min(policy.gpu_batches, prompts);
  policy.micro_batches = std::min(policy.micro_batches, prompts);
  const auto batches = policy.micro_batches_for(ranks) * policy.gpu_batches;
  if (policy.gpu_batch_size == 0)
    policy.gpu_batch_size = std::clamp((prompts + batches - 1) / batches, std::int64_t{1}, kMost);
  return policy;
}

// A failure that the ranks cannot agree on in peace: this rank says so, and all ranks end. A single rank
// leaves it to main() to tell.
executor::FailureHandler end_all_ranks(comm::Transport& transport) {
  return [&transport](std::exception_ptr failure) {
    ExitStatus status = ExitStatus::failure;
    std::string why = "unknown failure";
    try {
      std::rethrow_exception(failure);
    } catch (const Error& error) {
      status = error.status();
      why = error.what();
    } catch (const std::exception& error) {
      why = error.what();
    }
    if (transport.size() > 1)
      log::error("rank {} on {}: {}", transport.rank().value, transport.node().host, why);
    transport.abort(status, why);
  };
}

// This rank's GPU; none where it computes on the CPU.
std::optional<int> choose_gpu(const RunOptions& options, const comm::Node& node) {
  const int gpus = executor::cuda_devices();  // on this rank's node
  if (options.device == "cpu" || (options.device == "auto" && gpus == 0)) return std::nullopt;
  if (gpus == 0)
    throw UsageError(
        "--device cuda: this build has no CUDA backend, or this process sees no GPU; use --device cpu");
  if (options.gpu_map.empty()) return node.local_rank % gpus;
  if (node.local_rank >= static_cast<int>(options.gpu_map.size()))
    throw UsageError(fmt::format("--gpu-map names {} GPUs, but {} ranks run on {}", options.gpu_map.size(),
                                 node.local_size, node.host));
  const int gpu = options.gpu_map[static_cast<std::size_t>(node.local_rank)];
  if (gpu < 0 || gpu >= gpus)
    throw UsageError(
        fmt::format("--gpu-map: there is no GPU {} on {}: this process sees {}", gpu, node.host, gpus));
  return gpu;
}

executor::CommDevice comm_device(const RunOptions& options) {
  if (options.comm_device == "gpu") return executor::CommDevice::gpu;
  return options.comm_device == "cpu" ? executor::CommDevice::cpu : executor::CommDevice::automatic;
}

// What every rank makes of the command line before memory is taken.
struct Job {
  model::ModelConfig config;
  std::unique_ptr<model::Checkpoint> weights;
  std::vector<model::StageSlice> slices;
  std::optional<int> gpu;    // of this rank
  std::optional<Desk> desk;  // on rank 0
};

void prepare(Job& job, const GenerateOptions& options, const comm::Transport& transport) {
  job.gpu = choose_gpu(options.run, transport.node());
  job.config = read_config(options.model);
  job.weights = open_weights(options.model, job.config);
  job.slices = cut_model(options.run, job.config, transport.size());
  if (transport.is_first()) job.desk.emplace(options, job.config);
}

std::unique_ptr<executor::Stage> make_stage(const Job& job, const GenerateOptions& options,
                                            const memory::Policy& policy,
                                            const std::vector<memory::Round>& rounds,
                                            std::shared_ptr<comm::DeviceLink> link,
                                            std::optional<metrics::Trace>& trace,
                                            comm::Transport& transport) {
  executor::StageOptions stage{policy, options.sampling, options.run.offload_directory,
                               thread_count(options.run, transport.node())};
  if (stage.offload_directory.empty()) stage.offload_directory = temporary_directory();
  const auto& slice = job.slices[static_cast<std::size_t>(transport.rank().value)];
  stage.verify_offload = options.run.verify_offload;
  stage.device_link = std::move(link);
  if (trace)
    stage.on_timeline = [&trace](const auto& program, auto times, auto round_begin) {
      trace->add_round(program, times, std::chrono::duration<double>(round_begin.time_since_epoch()).count());
    };
  if (job.gpu)
    return executor::make_cuda_stage(*job.gpu, job.config, slice, *job.weights, rounds, stage, transport,
                                     end_all_ranks(transport));
  return executor::make_cpu_stage(job.config, slice, *job.weights, rounds, stage, transport,
                                  end_all_ranks(transport));
}

// This rank's name in a trace.
std::string label_of(const Job& job, const comm::Transport& transport) {
  const auto& slice = job.slices[static_cast<std::size_t>(transport.rank().value)];
  return fmt::format("rank {} on {}, {}, layers {}-{}", transport.rank().value, transport.node().host,
                     job.gpu ? fmt::format("GPU {}", *job.gpu) : "CPU", slice.first.value,
                     slice.end().value - 1);
}

executor::RunStatistics run(executor::Stage& stage, const std::vector<memory::Round>& rounds,
                            std::optional<Desk>& desk) {
  if (!desk) return executor::run_rounds(stage, rounds, nullptr, {});
  std::int64_t most_tokens = 0;
  for (const auto& sequence : desk->generation().sequences()) most_tokens += sequence.new_tokens;
  Progress progress(most_tokens);
  desk->generation().on_token([&](std::int64_t tokens) { progress.show(tokens); });
  std::size_t finished = 0;
  return executor::run_rounds(stage, rounds, &desk->generation(), [&](std::size_t round) {
    finished += static_cast<std::size_t>(rounds[round].sequences());
    progress.clear_line();
    desk->write_up_to(finished);
  });
}

void run_job(Job& job, const GenerateOptions& options, comm::Transport& transport) {
  executor::agree(transport, [&] { prepare(job, options, transport); });
  auto& desk = job.desk;
  const auto sequences = executor::share_sequences(
      transport, desk ? desk->generation().sequences() : std::vector<memory::Sequence>{});
  const auto policy = fit_policy(options.run.policy, sequences.size(), transport.size());
  const auto rounds = memory::make_rounds(sequences, policy, transport.size());

  std::optional<metrics::Trace> trace;
  if (!options.trace.empty()) trace.emplace(transport);
  std::shared_ptr<comm::DeviceLink> link;
  if (!rounds.empty())
    link = executor::connect_devices(transport, job.gpu, comm_device(options.run),
                                     comm::Seconds(options.run.comm_timeout_s));
  std::unique_ptr<executor::Stage> stage;
  executor::agree(transport, [&] {
    if (!rounds.empty()) stage = make_stage(job, options, policy, rounds, link, trace, transport);
  });
  if (rounds.empty())
    log::info("the input holds no prompts: there is nothing to generate");
  else
    log::info("{}: {} layers over {} rank(s){}, {} thread(s) each; {} prompt(s) in {} round(s)",
              job.weights->describe(), job.config.layers, transport.size(), link ? " linked by NCCL" : "",
              thread_count(options.run, transport.node()), sequences.size(), rounds.size());
  executor::RunStatistics statistics;
  std::vector<metrics::RankUse> ranks;
  try {
    if (desk) desk->begin();
    if (stage) statistics = run(*stage, rounds, desk);
    ranks = metrics::gather_use(
        transport, {transport.node().host, statistics.use, statistics.disk_read, statistics.disk_written});
    if (trace)
      trace->write(label_of(job, transport), [&](std::string_view text) { desk->write_trace(text); });
  } catch (...) {  // not in a step, whose failures the stage handles, but in writing results, say
    end_all_ranks(transport)(std::current_exception());
    throw;
  }
  if (!desk) return;
  log::info("{} new tokens in {:.2f} s", desk->generation().new_tokens(), statistics.total_s);
  const bool shows_use = trace || options.verbosity == Verbosity::debug;
  for (const auto& line : shows_use ? metrics::to_table(ranks) : std::vector<std::string>{})
    log::info("{}", line);
  desk->finish(make_report(options, job.config, policy, ranks, desk->generation(), statistics));
}

}  // namespace

void generate(const GenerateOptions& options, comm::Transport& transport) {
  Job job;
  try {
    run_job(job, options, transport);
  } catch (const PeerError&) {  // ranks that do not answer cannot be waited for either
    end_all_ranks(transport)(std::current_exception());
    throw;
  }
}

}  // namespace optpipe::cli
