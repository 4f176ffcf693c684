// Programs for tests: all ranks of a small pipeline.
#pragma once

#include <vector>

#include "optpipe/model/slice.hpp"
#include "optpipe/schedule/builder.hpp"

namespace optpipe::schedule {

struct Shape {
  int ranks = 1;
  std::int64_t layers = 6, token_steps = 3, micro_batches = 1, gpu_batches = 1;
  Offload layer_weights{}, head_weights{}, kv{}, hidden{};
  int weight_slots = 2;
  HostAttention host_attention{};
  std::int64_t chunk_layers = 0;  // of looped stages; 0: contiguous ones
  std::int64_t first_token_step = 0;
  bool continues = false;
  bool attend_uses_weights = false;
  std::int64_t prefill_pieces = 1;
};

inline memory::PrefillCut prefill_cut(const Shape& shape) {
  memory::Policy policy;
  policy.gpu_batches = shape.gpu_batches;
  policy.prefill_pieces = shape.prefill_pieces;
  policy.hidden.device = shape.hidden.any ? 0 : 100;
  if (shape.chunk_layers > 0) policy.stages = memory::Stages::looped;
  return policy.prefill_cut();
}

inline std::vector<Program> build_all(const Shape& shape) {
  auto config = model::config_of_size("opt-125m");
  config.layers = shape.layers;
  std::vector<Program> programs;
  const auto slices = shape.chunk_layers > 0 ? model::loop_stages(config, shape.ranks, shape.chunk_layers)
                                             : model::balance_stages(config, shape.ranks);
  for (const auto& slice : slices) {
    StageParameters p;
    p.rank = Rank(static_cast<int>(programs.size()));
    p.ranks = shape.ranks;
    p.slice = slice;
    p.first_token_step = shape.first_token_step;
    p.token_steps = shape.token_steps;
    p.continues = shape.continues;
    p.micro_batches = shape.micro_batches;
    p.gpu_batches = shape.gpu_batches;
    p.prefill = prefill_cut(shape);
    p.layer_weights = shape.layer_weights;
    p.head_weights = shape.head_weights;
    p.kv = shape.kv;
    p.hidden = shape.hidden;
    p.weight_slots = shape.weight_slots;
    p.host_attention = shape.host_attention;
    p.attend_uses_weights = shape.attend_uses_weights;
    programs.push_back(build_program(p));
  }
  return programs;
}

inline constexpr Offload kResident{false, false}, kHost{true, false}, kDisk{true, true};

}  // namespace optpipe::schedule
