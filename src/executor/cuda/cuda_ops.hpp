// The computation of a stage's steps on one GPU: fp16 storage, fp32 accumulation. Everything is enqueued on
// one stream; the GPU twin of executor/cpu/layer_ops.hpp, which says what each function computes.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "executor/cuda/kv_tasks.hpp"
#include "executor/cuda/upload_ring.hpp"
#include "executor/cuda/widened_layer.hpp"
#include "executor/stage/weight_store.hpp"
#include "optpipe/executor/stage.hpp"
#include "optpipe/kernels/cuda.hpp"

namespace optpipe::executor::cuda {

using planner::cuda::kChunkRows;

class CudaOps {
 public:
  CudaOps(const model::ModelConfig& config, const model::StageSlice& slice, const WeightStore& weights,
          const planner::StagePlan& plan, const TierMemory& memory, cudaStream_t stream);

  // q, k and v of a batch of new tokens alone stand side by side in the buffer of q [rows, 3h], where one
  // product leaves them, unless they are more than a chunk. Where prompts enter, all rows pass as prompts'
  // do.
  static bool are_together(const BatchRows& rows) { return rows.prompt_rows == 0 && rows.rows <= kChunkRows; }

  kernels::cuda::Context& context() { return context_; }
  void next_step() { uploads_.next_step(); }  // before each step that calls one of the functions below

  void embed(const BatchRows& rows, std::span<const std::int32_t> ids, Half* x);
  // `buffer`: of attention, as in LayerOps.
  void project_qkv(std::size_t group, std::int32_t slot, const BatchRows& rows, const Half* x,
                   const TaskSource& tasks, std::int32_t buffer);
  // `group` and `slot` are used with the X cache.
  void attend(std::size_t group, std::int32_t slot, const BatchRows& rows, const TaskSource& tasks,
              std::int32_t buffer, double sparsity);
  void feed_forward(std::size_t group, std::int32_t slot, const BatchRows& rows, Half* x,
                    std::int32_t buffer);

  // q, k and v of a decode step in a buffer other than 0 → `to` in pinned memory, on another stream, by any
  // thread.
  void fetch_qkv(cudaStream_t stream, std::byte* to, std::int32_t buffer, Bytes bytes) const;
  // The heads of `tasks` of what CPU cores have attended to, `output` [rows, h] in pinned memory, into the
  // buffer.
  void return_attention(const BatchRows& rows, const TaskSource& tasks, const std::byte* output,
                        std::int32_t buffer);

  // What has been enqueued so far says nothing about the layer that is kept as halves: before and after
  // graphs, which must depend on themselves alone.
  void forget_widened() { widened_.forget(); }

  // Tasks of `segments`, through the step's upload slot; the segments must outlive the source.
  TaskSource upload(const std::vector<KvStore::Segment>& segments);

  // Loads the kernels of all products and chooses their algorithms by their times, for batches of so many
  // rows and sequences, so that the first round runs at full speed. Computes with whatever lies in memory and
  // with noise (`free_slot`: the memory of `slot`, to which nothing was loaded yet; empty where weights do
  // not move; `head`: its group, where the slice has it), keeps nothing of it, and waits for it.
  void warm_up(std::int32_t slot, std::span<std::byte> free_slot, std::int64_t rows, std::int64_t sequences,
               std::size_t head);

  // The next token of each span, in pinned memory at `tokens` once the stream has come so far. With sampling,
  // or with an observer of logits, it waits for the stream.
  void sample(std::size_t group, std::int32_t slot, const BatchRows& rows, const Half* x,
              const StageOptions& options, std::int32_t* tokens);

 private:
  // The weights of one group while a step uses them.
  struct Use {
    std::size_t group;
    std::int32_t slot;
  };
  static kernels::cuda::Matrix to_gpu(const executor::Matrix& found);
  kernels::cuda::Matrix matrix(const Use& use, model::Role role);
  const Half* vector(const Use& use, model::Role role) const;
  void linear(const Use& use, model::Role weight, model::Role bias, const Half* x, std::int64_t rows,
              kernels::Epilogue epilogue, Half* out);
  void fill_buffers(std::int64_t rows);
  void warm_up_rows(const Use& layer, std::int64_t count);
  void norm(const Use& use, model::Role weight, model::Role bias, const Half* x, std::int64_t rows,
            Half* out);
  struct AttentionBuffer {
    Half *q, *attended;  // [rows, h], or q, k and v of each row [rows, 3h]; [rows, h]
  };
  AttentionBuffer attention(std::int32_t buffer) const;
  // Of rows.prompt_rows rows.
  void attend_prompts(const BatchRows& rows, const TaskSource& tasks, const AttentionBuffer& on);
  void feed_forward_rows(const Use& use, std::int64_t first, std::int64_t count, Half* x,
                         const Half* attended);
  // q, k or v: a part of what project_together computes, by the same algorithms.
  void project_apart(const Use& use, model::Role weight, model::Role bias, const Half* x, std::int64_t rows,
                     Half* to, std::int64_t stride);
  // to [rows, 3h]: q, k and v of each row.
  void project_together(const Use& use, const Half* x, std::int64_t rows, Half* to);
  // The same over the X cache.
  void project_x(const Use& use, const BatchRows& rows, const Half* x, const TaskSource& tasks);
  void attend_to_x(const Use& use, const BatchRows& rows, const TaskSource& tasks);
  void attend_prompts_to_x(const Use& use, const BatchRows& rows, const TaskSource& tasks);
  kernels::cuda::Matrix table(model::Role role) const;
  kernels::cuda::Matrix position_table(std::span<std::int32_t> positions);
  void observe(const BatchRows& rows, std::size_t first, std::int64_t count, const LogitsObserver& observer);

  const model::ModelConfig& config_;
  const WeightStore& weights_;
  cudaStream_t stream_;
  kernels::cuda::Context context_;
  memory::Arena device_, pinned_;
  WidenedLayer widened_;
  // With the X cache (planner::XWorkspace).
  struct XBuffers {
    XBuffers(const model::ModelConfig& config, const planner::StagePlan& plan,
             memory::MemoryResource& memory);
    memory::Arena arena;
    planner::XWorkspace work;
    Half *inputs = nullptr, *keys = nullptr, *values = nullptr;  // [work.prompt_rows, h]
    Half* absorbed = nullptr;                                    // [sequences, heads, h]
    float* scores = nullptr;                                     // [sequences, heads, work.score_stride]
    Half* weights = nullptr;                                     // the same
  };
  std::optional<XBuffers> x_;
  UploadRing uploads_;
  bool quantized_kv_;
  std::int64_t most_positions_;               // of any sequence
  Half *q_, *attended_;                       // [rows, h]
  std::vector<Half*> decode_;                 // [buffer - 1] → q, k, v [rows, 3h], output [rows, h]
  std::int64_t decode_output_;                // where the output begins there
  Half* normed_;                              // [chunk, h]
  std::int64_t normed_rows_;                  // a chunk
  Half *keys_ = nullptr, *values_ = nullptr;  // the same; with keys and values in the cache
  Half* inner_;                               // [chunk, f]
  Half* embedded_ = nullptr;                  // [chunk, e]
  float* logits_ = nullptr;                   // [head chunk, V]
  std::int32_t* chosen_ = nullptr;            // [sequences]
};

}  // namespace optpipe::executor::cuda
