// A stage: the contiguous slice of the model that one rank owns.
#pragma once

#include <cstdint>
#include <vector>

#include "optpipe/base/ids.hpp"
#include "optpipe/model/config.hpp"

namespace optpipe::model {

struct StageSlice {
  LayerId first{0};  // decoder layers [first, first + layers)
  std::int64_t layers = 0;
  bool embedding = false;  // token and position tables: the first stage
  bool head = false;       // final norm and LM head: the last stage

  LayerId end() const { return LayerId(first.value + layers); }
};

// Cuts the model into `stages` contiguous slices, each with at least one layer, so that the largest cost is
// as small as can be. Cost is the time of a decode step, taken as the bytes of weights that it reads: 12h² +
// ... a layer, V·e for the LM head; the embedding is a gather and costs nothing. Throws UsageError where
// there are more stages than layers.
std::vector<StageSlice> balance_stages(const ModelConfig& config, int stages);

// The same by hand: layers per stage. Throws UsageError unless they are positive and add up to the model's.
std::vector<StageSlice> cut_stages(const ModelConfig& config,
                                   const std::vector<std::int64_t>& layers_per_stage);

}  // namespace optpipe::model
