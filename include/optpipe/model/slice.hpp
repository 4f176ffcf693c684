// A stage: the layers of the model that one rank owns.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "optpipe/base/ids.hpp"
#include "optpipe/model/config.hpp"

namespace optpipe::model {

// Consecutive decoder layers [first, first + layers).
struct LayerRun {
  LayerId first{0};
  std::int64_t layers = 0;

  LayerId end() const { return LayerId(first.value + layers); }
};

// A contiguous stage owns one run of layers. A looped stage owns several, `stride` layers apart: hidden
// states come back to it once a run. Layers of a slice are numbered without gaps by index_of and layer_at.
struct StageSlice {
  LayerId first{0};
  std::int64_t layers = 0;      // of all runs together
  bool embedding = false;       // token and position tables: the stage of layer 0
  bool head = false;            // final norm and LM head: the stage of the last layer
  std::int64_t run_layers = 0;  // layers of a run (the last may have fewer); 0: one run has all layers
  std::int64_t stride = 0;      // from the first layer of a run to the first of the next

  std::vector<LayerRun> runs() const;
  std::int64_t run_count() const { return run_layers == 0 ? 1 : (layers + run_layers - 1) / run_layers; }
  // The layer behind the last one. As a step's layer it stands for the head, where the slice has it.
  LayerId end() const { return LayerId(layer_at(layers - 1).value + 1); }

  // 0 <= index < layers; end() has the index `layers`. A layer of another stage is a contract violation.
  LayerId layer_at(std::int64_t index) const;
  std::int64_t index_of(LayerId layer) const;

  // Whether hidden states leave for another stage, or come from one.
  bool sends_hidden() const { return run_count() > 1 || !head; }
  bool receives_hidden() const { return run_count() > 1 || !embedding; }
};
// The stage of `stages` that has the head, told from the slice of any of them.
int head_stage(const ModelConfig& config, const StageSlice& slice, int stages);
std::string to_string(const StageSlice& slice);  // "layers 0-11", "layers 0-1, 8-9, 16"

// Cuts the model into `stages` contiguous slices, each with at least one layer, so that the largest cost is
// as small as can be. Cost is the time of a decode step, taken as the bytes of weights that it reads: 12h² +
// ... a layer, V·e for the LM head; the embedding is a gather and costs nothing. Throws UsageError where
// there are more stages than layers.
std::vector<StageSlice> balance_stages(const ModelConfig& config, int stages);

// The same by hand: layers per stage. Throws UsageError unless they are positive and add up to the model's.
std::vector<StageSlice> cut_stages(const ModelConfig& config,
                                   const std::vector<std::int64_t>& layers_per_stage);

// Looped stages: the layers are cut into chunks of `chunk_layers` (the last may have fewer), and chunk c
// belongs to stage c mod `stages`; the head to the stage of the last chunk. One stage gets all layers as one
// run. Throws UsageError where there are fewer chunks than stages.
std::vector<StageSlice> loop_stages(const ModelConfig& config, int stages, std::int64_t chunk_layers);

}  // namespace optpipe::model
