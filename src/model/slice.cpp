#include "optpipe/model/slice.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <numeric>

#include "optpipe/base/error.hpp"
#include "optpipe/model/tensors.hpp"

namespace optpipe::model {
namespace {

std::int64_t elements(const std::vector<TensorSpec>& specs) {
  std::int64_t sum = 0;
  for (const auto& spec : specs) sum += spec.rows * spec.columns;
  return sum;
}

}  // namespace

std::vector<StageSlice> cut_stages(const ModelConfig& config,
                                   const std::vector<std::int64_t>& layers_per_stage) {
  const auto sum = std::accumulate(layers_per_stage.begin(), layers_per_stage.end(), std::int64_t{0});
  const bool positive = std::ranges::all_of(layers_per_stage, [](auto layers) { return layers > 0; });
  if (!positive || sum != config.layers)
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
  if (stages > config.layers)
    throw UsageError(
        fmt::format("{} ranks for a model of {} layers: each rank needs at least one layer; start at most {}",
                    stages, config.layers, config.layers));
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

}  // namespace optpipe::model
