// What a rank takes for its slice of the model, on any backend: pure arithmetic, before anything is allocated
// and on any machine. Executors take exactly this.
#pragma once

#include <array>
#include <vector>

#include "optpipe/planner/backend.hpp"
#include "optpipe/planner/hidden.hpp"
#include "optpipe/planner/kv.hpp"
#include "optpipe/planner/weights.hpp"
#include "optpipe/schedule/builder.hpp"

namespace optpipe::planner {

// Bytes of each class of data on each tier (device, host, disk).
struct MemoryUse {
  std::array<Bytes, 3> weights{}, kv{}, hidden{}, workspace{};
};

struct StagePlan {
  Backend backend = Backend::cpu;
  BatchBounds bounds;
  BackendNeeds needs;
  WeightPlan weights;
  KvPlan kv;
  HiddenPlan hidden;
  MemoryUse use;
  Bytes disk_bytes = 0;
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

// The schedule's parameters that go with the plan.
schedule::StageParameters schedule_parameters(const StagePlan& plan, const model::StageSlice& slice,
                                              const memory::Round& round, const memory::KvLayout& kv,
                                              Rank rank, int ranks);

}  // namespace optpipe::planner
