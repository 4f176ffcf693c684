#include "optpipe/model/slice.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <numeric>

#include "optpipe/base/check.hpp"
#include "optpipe/base/error.hpp"
#include "optpipe/model/tensors.hpp"

namespace optpipe::model {
namespace {

std::int64_t elements(const std::vector<TensorSpec>& specs) {
  std::int64_t sum = 0;
  for (const auto& spec : specs) sum += spec.rows * spec.columns;
  return sum;
}

void check_stage_count(const ModelConfig& config, int stages) {
  if (stages > config.layers)
    throw UsageError(
        fmt::format("{} ranks for a model of {} layers: each rank needs at least one layer; start at most {}",
                    stages, config.layers, config.layers));
}

}  // namespace

std::vector<LayerRun> StageSlice::runs() const {
  std::vector<LayerRun> runs;
  const std::int64_t size = run_layers == 0 ? layers : run_layers;
  for (std::int64_t begin = 0; begin < layers; begin += size)
    runs.push_back({layer_at(begin), std::min(size, layers - begin)});
  return runs;
}

LayerId StageSlice::layer_at(std::int64_t index) const {
  if (run_layers == 0) return LayerId(first.value + index);
  return LayerId(first.value + index / run_layers * stride + index % run_layers);
}

std::int64_t StageSlice::index_of(LayerId layer) const {
  if (layer == end()) return layers;
  const std::int64_t offset = layer.value - first.value;
  const std::int64_t index =
      run_layers == 0 ? offset : offset / stride * run_layers + std::min(offset % stride, run_layers - 1);
  OPTPIPE_CHECK(offset >= 0 && index < layers && layer_at(index) == layer, "layer {} is not of {}",
                layer.value, to_string(*this));
  return index;
}

int head_stage(const ModelConfig& config, const StageSlice& slice, int stages) {
  if (slice.run_layers == 0) return stages - 1;
  return static_cast<int>((config.layers - 1) / slice.run_layers % stages);
}

std::string to_string(const StageSlice& slice) {
  std::vector<std::string> runs;
  for (const LayerRun& run : slice.runs())
    runs.push_back(run.layers == 1 ? fmt::format("{}", run.first.value)
                                   : fmt::format("{}-{}", run.first.value, run.end().value - 1));
  return fmt::format("layers {}", fmt::join(runs, ", "));
}

std::vector<StageSlice> cut_stages(const ModelConfig& config,
                                   const std::vector<std::int64_t>& layers_per_stage) {
  // Each is bounded first, so that the sum cannot wrap round to the right number.
  const bool sound = std::ranges::all_of(layers_per_stage,
                                         [&](auto layers) { return layers > 0 && layers <= config.layers; });
  if (!sound ||
      std::accumulate(layers_per_stage.begin(), layers_per_stage.end(), std::int64_t{0}) != config.layers)
    throw UsageError(fmt::format("layers per stage {} should be positive and add up to the model's {} layers",
                                 fmt::join(layers_per_stage, ","), config.layers));
  std::vector<StageSlice> slices;
  std::int64_t first = 0;
  for (const auto layers : layers_per_stage) {
    slices.push_back({LayerId(first), layers, false, false});
    first += layers;
  }
  slices.front().embedding = true;
  slices.back().head = true;
  return slices;
}

std::vector<StageSlice> balance_stages(const ModelConfig& config, int stages) {
  check_stage_count(config, stages);
  // Layers cost the same, so only the last stage, which also has the head, may get fewer of them.
  const double layer_cost = static_cast<double>(elements(layer_tensors(config, LayerId(0))));
  const double head_cost = static_cast<double>(elements(head_tensors(config)));
  std::int64_t best_last = 1;
  double best = -1;
  for (std::int64_t last = 1; last <= config.layers - (stages - 1); ++last) {
    const std::int64_t others = stages == 1 ? 0 : (config.layers - last + stages - 2) / (stages - 1);
    if (stages == 1 && last != config.layers) continue;
    const double cost = std::max(static_cast<double>(others) * layer_cost,
                                 static_cast<double>(last) * layer_cost + head_cost);
    if (best < 0 || cost <= best) best = cost, best_last = last;
  }
  std::vector<std::int64_t> counts(static_cast<std::size_t>(stages), best_last);
  const std::int64_t rest = config.layers - best_last;
  for (std::int64_t stage = 0; stage + 1 < stages; ++stage)
    counts[static_cast<std::size_t>(stage)] = rest / (stages - 1) + (stage < rest % (stages - 1) ? 1 : 0);
  return cut_stages(config, counts);
}

std::vector<StageSlice> loop_stages(const ModelConfig& config, int stages, std::int64_t chunk_layers) {
  check_stage_count(config, stages);
  if (chunk_layers < 1)
    throw UsageError(fmt::format("--chunk-layers {}: a chunk has at least one layer", chunk_layers));
  const std::int64_t chunks = (config.layers + chunk_layers - 1) / chunk_layers;
  if (chunks < stages)
    throw UsageError(fmt::format(
        "{} layers in chunks of {} are {} chunks, fewer than the {} ranks: give --chunk-layers {} or less",
        config.layers, chunk_layers, chunks, stages, config.layers / stages));
  if (stages == 1) return cut_stages(config, {config.layers});
  std::vector<StageSlice> slices;
  for (std::int64_t stage = 0; stage < stages; ++stage)
    slices.push_back({LayerId(stage * chunk_layers), 0, stage == 0, (chunks - 1) % stages == stage,
                      chunk_layers, stages * chunk_layers});
  for (std::int64_t chunk = 0; chunk < chunks; ++chunk)
    slices[static_cast<std::size_t>(chunk % stages)].layers +=
        std::min(chunk_layers, config.layers - chunk * chunk_layers);
  return slices;
}

}  // namespace optpipe::model
