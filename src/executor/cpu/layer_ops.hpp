// The computation of a stage's steps: an OPT decoder layer, cut where keys and values change hands, and its
// two ends.
//
// Activations are fp32, row-major; rows of a batch are packed (BatchRows). Long batches pass through in
// chunks of rows, so that workspaces stay small; rows do not depend on each other here, so chunks change no
// result.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "executor/cpu/x_attention.hpp"
#include "executor/stage/kv_store.hpp"
#include "executor/stage/weight_store.hpp"
#include "optpipe/executor/stage.hpp"
#include "optpipe/kernels/sampling.hpp"
#include "optpipe/memory/arena.hpp"

namespace optpipe::executor {

class LayerOps {
 public:
  LayerOps(const model::ModelConfig& config, const model::StageSlice& slice, const WeightStore& weights,
           const planner::StagePlan& plan, memory::MemoryResource& resource, int threads);

  // x[row] = token embedding (through project_in) + position embedding.
  void embed(const BatchRows& rows, std::span<const std::int32_t> ids, float* x);

  // Attention buffer 0 holds rows of any batch. With attention on the host, a decode step has one of the
  // others: there projection leaves keys and values beside q, and attention appends them.
  //
  // q[rows, h] → attention buffer; keys and values → cache. `group`: of the layer's weights, in `slot`.
  void project_qkv(std::size_t group, std::int32_t slot, const BatchRows& rows, const float* x, KvStore& kv,
                   const KvStore::Place& place, std::int32_t buffer);
  // `sparsity`: of new tokens (memory::Policy). `group` and `slot` are used with the X cache.
  void attend(std::size_t group, std::int32_t slot, const BatchRows& rows, const KvStore& kv,
              const KvStore::Place& place, std::int32_t buffer, double sparsity);
  // x += attention output · Woᵀ; x += feed-forward(x); with norms before or after, as the model has them.
  void feed_forward(std::size_t group, std::int32_t slot, const BatchRows& rows, float* x,
                    std::int32_t buffer);

  // q, k and v of a decode step's rows [rows, 3h] in a buffer other than 0.
  const float* qkv(std::int32_t buffer) const { return attention(buffer).q; }
  // Takes what CPU cores have attended to, `output` [rows, h], into the buffer.
  void return_attention(const std::vector<KvStore::Segment>& segments, const float* output,
                        std::int32_t buffer);

  // The next token of each span: final norm, LM head on the span's last row, choice.
  std::vector<std::int32_t> sample(std::size_t group, std::int32_t slot, const BatchRows& rows,
                                   const float* x, const kernels::SamplingOptions& options,
                                   const LogitsObserver& on_logits);

 private:
  // The weights of one group while a step uses them.
  struct Use {
    const WeightStore& store;
    std::size_t group;
    std::int32_t slot;
    bool prompt;  // rows are parts of prompts: products may run on matrix units
  };
  struct AttentionBuffer {
    float *q, *attended;    // [rows, q_stride], [rows, h]
    std::int64_t q_stride;  // of decode with attention on the host: q, k, v side by side
  };
  AttentionBuffer attention(std::int32_t buffer) const;
  // Rows [first, first + count) of the batch, with the stride in elements.
  struct NewRows {
    std::int64_t first, count;
    const float *keys, *values;  // or X and none
    std::int64_t stride;
  };
  // Narrows keys and values, or X, into the cache.
  void append(const NewRows& rows, const std::vector<KvStore::Segment>& segments,
              const RowFormat& format) const;
  void linear(const Use& use, model::Role weight, model::Role bias, const float* x, std::int64_t rows,
              kernels::Epilogue epilogue, float* out, std::int64_t out_stride = 0) const;
  void norm(const Use& use, model::Role weight, model::Role bias, const float* x, std::int64_t rows,
            float* out) const;
  void feed_forward_rows(const Use& use, std::int64_t first, std::int64_t count, float* x,
                         const float* attended);

  const model::ModelConfig& config_;
  const WeightStore& weights_;
  int threads_;
  memory::Arena arena_;
  std::int64_t decode_output_;  // where the output begins in a buffer of decode_
  XAttention x_attention_;
  bool x_cache_;
  float *q_, *attended_;                           // [rows, h]
  std::vector<float*> decode_;                     // [buffer - 1] → q, k, v [rows, 3h], output [rows, h]
  float* normed_;                                  // [chunk, h]
  float *keys_ = nullptr, *values_ = nullptr;      // the same; with keys and values in the cache
  float* inner_;                                   // [chunk, f]
  float *embedded_ = nullptr, *logits_ = nullptr;  // [chunk, e]; [head chunk, V]
};

}  // namespace optpipe::executor
