#include "cli/rank_setup.hpp"

#include <fmt/format.h>

#include "optpipe/base/environment.hpp"
#include "optpipe/base/error.hpp"
#include "optpipe/executor/stage.hpp"

namespace optpipe::cli {

std::vector<model::StageSlice> cut_model(const RunOptions& options, const model::ModelConfig& config,
                                         int ranks) {
  if (options.policy.stages == memory::Stages::looped) {
    if (!options.stage_layers.empty())
      throw UsageError(
          "--stage-layers cuts contiguous stages, and --stages looped deals out chunks: leave one of them "
          "out");
    return model::loop_stages(config, ranks, options.policy.chunk_layers);
  }
  if (options.stage_layers.empty()) return model::balance_stages(config, ranks);
  if (static_cast<int>(options.stage_layers.size()) != ranks)
    throw UsageError(
        fmt::format("--stage-layers names {} stages, but the ranks are {}: give as many numbers as ranks",
                    options.stage_layers.size(), ranks));
  return model::cut_stages(config, options.stage_layers);
}

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

executor::BindMode bind_mode(const RunOptions& options) {
  if (options.bind == "none") return executor::BindMode::none;
  if (options.bind == "threads") return executor::BindMode::threads;
  return options.bind == "report" ? executor::BindMode::report : executor::BindMode::automatic;
}

int thread_count(const RunOptions& options, const topology::Placement& placement) {
  if (options.threads > 0) return options.threads;
  return omp_num_threads().value_or(placement.threads);
}

executor::CommDevice comm_device(const RunOptions& options) {
  if (options.comm_device == "gpu") return executor::CommDevice::gpu;
  return options.comm_device == "cpu" ? executor::CommDevice::cpu : executor::CommDevice::automatic;
}

}  // namespace optpipe::cli
