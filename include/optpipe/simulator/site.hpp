// Where a run would take place: nodes of one kind, and how ranks lie on them.
#pragma once

#include <optional>

#include "optpipe/planner/attention.hpp"
#include "optpipe/planner/run_plan.hpp"
#include "optpipe/simulator/machine.hpp"
#include "optpipe/simulator/predict.hpp"

namespace optpipe::simulator {

struct Site {
  Machine machine;
  int ranks_per_node = 1;
  int threads = 0;           // of a rank; 0: the node's cores over its ranks
  bool device_links = true;  // hidden states travel from GPU to GPU where the machine can
  std::optional<Bytes> gpu_memory, host_memory, disk_space;  // instead of the machine's; of a GPU, of a node

  int threads_of_rank(int ranks) const;
  bool has_device_link(int ranks) const;
};

// A rank's part of what the machine's cores, attending to keys and values in this format, and devices read of
// its memory at the same time.
planner::AttentionCeilings attention_ceilings(const Machine& machine, StorageFormat kv);

// What the planner wants to know of ranks that would run there. A machine whose disk is not known has as much
// as is wanted.
planner::RunRequest make_request(const Site& site, const model::ModelConfig& config,
                                 std::vector<model::StageSlice> slices, DType weights,
                                 std::vector<memory::Sequence> sequences);

Scenario make_scenario(const Site& site, const planner::RunRequest& request, const memory::Policy& policy);

// `count` prompts alike.
std::vector<memory::Sequence> equal_sequences(std::int64_t count, std::int64_t prompt_tokens,
                                              std::int64_t new_tokens);

}  // namespace optpipe::simulator
