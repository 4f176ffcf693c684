#include "optpipe/metrics/sizes.hpp"

namespace optpipe::metrics {
namespace {

constexpr Bytes kValue = 2;

Bytes positive(std::int64_t number) { return static_cast<Bytes>(number); }

}  // namespace

Bytes model_bytes(const model::ModelConfig& config) {
  const Bytes h = positive(config.hidden), f = positive(config.ffn);
  const Bytes attention = h * (3 * h + 1) + h * (h + 1);
  const Bytes feed_forward = 2 * f * h + f + h;
  const Bytes norms = 4 * h;
  return kValue * (positive(config.layers) * (attention + feed_forward + norms) +
                   positive(config.vocabulary) * (h + 1));
}

Bytes cache_bytes(const model::ModelConfig& config, std::int64_t prompts, std::int64_t positions) {
  return 2 * kValue * positive(config.layers) * positive(config.hidden) * positive(prompts * positions);
}

Bytes hidden_bytes(const model::ModelConfig& config, std::int64_t prompts, std::int64_t positions) {
  return kValue * positive(config.hidden) * positive(prompts * positions);
}

}  // namespace optpipe::metrics
