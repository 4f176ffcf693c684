// What a rank takes for its slice of the model, on any backend: pure arithmetic, before anything is allocated
// and on any machine. Executors take exactly this.
#pragma once

#include <vector>

#include "optpipe/planner/backend.hpp"
#include "optpipe/planner/hidden.hpp"
#include "optpipe/planner/kv.hpp"
#include "optpipe/planner/weights.hpp"
#include "optpipe/schedule/builder.hpp"

namespace optpipe::planner {

struct StagePlan {
  Backend backend = Backend::cpu;
  bool device_link = false;
  int neighbours = 0;  // stages that this one exchanges hidden states with
  memory::PrefillCut prefill;
  BatchBounds bounds;
  BackendNeeds needs;
  WeightPlan weights;
  KvPlan kv;
  HiddenPlan hidden;
  Bytes disk_bytes = 0;  // of the offload file
};

// What a plan depends on, of one rank; nothing in it needs to outlive the call.
struct StageRequest {
  const model::ModelConfig& config;
  const model::StageSlice& slice;
  DType weights = DType::f16;  // format of the checkpoint; the CUDA backend turns all into fp16
  const std::vector<memory::Round>& rounds;
  const memory::Policy& policy;
  int ranks = 1;
  Backend backend = Backend::cpu;
  bool device_link = false;  // hidden states travel from GPU to GPU
};

BatchBounds bounds_of(const std::vector<memory::Round>& rounds, const memory::Policy& policy, int ranks);

StagePlan plan_stage(const StageRequest& request);

// Steps of the round's program, or some more.
std::int64_t most_steps(const StagePlan& plan, const model::StageSlice& slice, const memory::Round& round);

// The schedule's parameters that go with the plan.
schedule::StageParameters schedule_parameters(const StagePlan& plan, const model::StageSlice& slice,
                                              const memory::Round& round, const memory::KvLayout& kv,
                                              Rank rank, int ranks);

}  // namespace optpipe::planner
