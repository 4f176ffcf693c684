// Sizes of a workload as FlexGen states them, whatever is offloaded or compressed: two bytes a value.
#pragma once

#include "optpipe/base/units.hpp"
#include "optpipe/model/config.hpp"

namespace optpipe::metrics {

// 2·(L·(h(3h+1) + h(h+1) + f·h + f + f·h + h + 4h) + V(h+1)): 55.803 GiB for opt-30b. Position embeddings and
// the final norm are not counted.
Bytes model_bytes(const model::ModelConfig& config);

// Keys and values of `prompts` sequences of `positions` each: 4·L·h a position.
Bytes cache_bytes(const model::ModelConfig& config, std::int64_t prompts, std::int64_t positions);

// Hidden states of the same: 2·h a position.
Bytes hidden_bytes(const model::ModelConfig& config, std::int64_t prompts, std::int64_t positions);

}  // namespace optpipe::metrics
