// What an executor takes for a slice: pure arithmetic, before anything is allocated.
#pragma once

#include "executor/stage/hidden_store.hpp"
#include "executor/stage/kv_store.hpp"
#include "executor/stage/weight_store.hpp"
#include "optpipe/executor/stage.hpp"
#include "optpipe/schedule/builder.hpp"

namespace optpipe::executor {

// What differs between backends.
struct BackendNeeds {
  DType hidden = DType::f32;  // format of hidden states
  DType kv = DType::f16;
  Bytes attention_bytes = 0;  // q and attention output of the largest batch
  Bytes scratch_bytes = 0;    // everything else that computation needs
  bool tables_whole = false;  // embedding tables lie wholly on the device or wholly on the host
};

struct StagePlan {
  BackendNeeds needs;
  WeightPlan weights;
  KvPlan kv;
  HiddenPlan hidden;
  std::int64_t rows = 0;  // of the largest GPU batch
  MemoryUse use;
  Bytes disk_bytes = 0;
};

// Keys and values are kept in fp16 for an fp16 model, and in fp32 for others: bf16 has too few bits for them
// and fp16 too small a range.
DType kv_dtype_for(DType weights);

// Rows of the largest GPU batch of any round.
std::int64_t largest_batch(const std::vector<memory::Round>& rounds);

// The format of the slice's weights, from the first layer's matrices. Throws InputError where the checkpoint
// lacks them.
DType weight_dtype(const model::ModelConfig& config, const model::StageSlice& slice,
                   const model::Checkpoint& checkpoint);

StagePlan plan_stage(const model::ModelConfig& config, const model::StageSlice& slice, DType weights,
                     const std::vector<memory::Round>& rounds, const memory::Policy& policy,
                     const BackendNeeds& needs);

memory::KvLayout lay_out_kv(const model::ModelConfig& config, const model::StageSlice& slice,
                            const memory::Round& round, const memory::Policy& policy, DType dtype);

// The schedule's parameters that go with the plan.
schedule::StageParameters schedule_parameters(const StagePlan& plan, const model::StageSlice& slice,
                                              const memory::Round& round, const memory::KvLayout& kv,
                                              Rank rank, int ranks);

}  // namespace optpipe::executor
