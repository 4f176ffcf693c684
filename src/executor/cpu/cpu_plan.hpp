// What the CPU executor takes for a slice: pure arithmetic, before anything is allocated.
#pragma once

#include "executor/cpu/hidden_store.hpp"
#include "executor/cpu/kv_store.hpp"
#include "executor/cpu/weight_store.hpp"
#include "optpipe/executor/stage.hpp"
#include "optpipe/schedule/builder.hpp"

namespace optpipe::executor {

struct CpuPlan {
  WeightPlan weights;
  KvPlan kv;
  HiddenPlan hidden;
  DType kv_dtype{};
  std::int64_t rows = 0;  // of the largest GPU batch
  MemoryUse use;
  Bytes disk_bytes = 0;
};

// Keys and values are kept in fp16 for an fp16 model, and in fp32 for others: bf16 has too few bits for them
// and fp16 too small a range.
DType kv_dtype_for(DType weights);

CpuPlan plan_cpu_stage(const model::ModelConfig& config, const model::StageSlice& slice, DType weights,
                       const std::vector<memory::Round>& rounds, const memory::Policy& policy);

memory::KvLayout lay_out_kv(const model::ModelConfig& config, const model::StageSlice& slice,
                            const memory::Round& round, const memory::Policy& policy, DType dtype);

// The schedule's parameters that go with the plan.
schedule::StageParameters schedule_parameters(const CpuPlan& plan, const model::ModelConfig& config,
                                              const model::StageSlice& slice, const memory::Round& round,
                                              const memory::KvLayout& kv, Rank rank, int ranks);

}  // namespace optpipe::executor
