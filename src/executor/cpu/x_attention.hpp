// Attention over the X cache on CPU cores: what is stored is the input X of the attention block, of which
// keys and values are products (docs/x-cache.md).
#pragma once

#include <vector>

#include "executor/stage/kv_store.hpp"
#include "executor/stage/weight_store.hpp"
#include "optpipe/memory/arena.hpp"
#include "optpipe/planner/stage_plan.hpp"

namespace optpipe::executor {

class XAttention {
 public:
  XAttention(const model::ModelConfig& config, const WeightStore& weights, const planner::StagePlan& plan,
             memory::MemoryResource& resource, int threads);

  // The rows' own X is in the segments already. q and out: [rows, h] of the batch. `group`: of the layer's
  // weights, in `slot`.
  void attend(std::size_t group, std::int32_t slot, const std::vector<KvStore::Segment>& segments,
              const RowFormat& cache, const float* q, float* out);

 private:
  // A layer's keys' and values' projections.
  struct Projections {
    Matrix k, v;
    kernels::VectorView k_bias, v_bias;
  };
  using Segments = std::span<const KvStore::Segment>;

  // Prompts: keys and values are computed, whole prompts that fit into the workspace at a time.
  void attend_prompts(const Projections& of, Segments segments, const RowFormat& cache, const float* q,
                      float* out);
  // New tokens: for each head, Wk is absorbed into the query and Wv into the sum.
  void attend_new_tokens(const Projections& of, Segments segments, const RowFormat& cache, const float* q,
                         float* out);
  void absorb_queries(const Projections& of, Segments segments, const float* q);
  void sum_inputs(Segments segments, const RowFormat& cache);

  const model::ModelConfig& config_;
  const WeightStore& weights_;
  int threads_;
  planner::XWorkspace work_;
  memory::Arena arena_;
  float *inputs_ = nullptr, *keys_ = nullptr, *values_ = nullptr;  // [work_.prompt_rows, h]
  float* absorbed_ = nullptr;                                      // [sequences, heads, h]
  float* scores_ = nullptr;                                        // [heads, work_.score_stride]
};

}  // namespace optpipe::executor
