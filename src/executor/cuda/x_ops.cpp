// One layer's projection and attention over the X cache; the GPU twin of executor/cpu/x_attention.hpp.
#include <algorithm>

#include "executor/cuda/cuda_ops.hpp"
#include "optpipe/kernels/cuda_x.hpp"

namespace optpipe::executor::cuda {

namespace gpu = kernels::cuda;
using kernels::Epilogue;
using memory::aligned;
using model::Role;

CudaOps::XBuffers::XBuffers(const model::ModelConfig& config, const planner::StagePlan& plan,
                            memory::MemoryResource& memory)
    : arena("workspaces of attention to the X cache", plan.needs.x_bytes, memory),
      work(planner::x_workspace(config, plan.bounds, planner::Backend::cuda)) {
  const auto take = [&](std::int64_t count, Bytes element) {
    return arena.take(aligned(static_cast<Bytes>(count) * element)).data();
  };
  const auto halves = [&](std::int64_t count) { return reinterpret_cast<Half*>(take(count, sizeof(Half))); };
  for (Half** rows : {&inputs, &keys, &values}) *rows = halves(work.prompt_rows * config.hidden);
  absorbed = halves(work.absorbed);
  scores = reinterpret_cast<float*>(take(work.scores(), sizeof(float)));
  weights = halves(work.scores());
}

void CudaOps::project_x(const Use& use, const BatchRows& rows, const Half* x, const TaskSource& tasks) {
  const std::int64_t h = config_.hidden;
  for (std::int64_t begin = 0; begin < rows.rows;) {
    const auto end = begin < rows.prompt_rows ? rows.prompt_rows : rows.rows;
    const auto count = std::min(kChunkRows, end - begin);
    const Half* input = x + begin * h;
    if (config_.pre_norm) {
      norm(use, Role::attention_norm_weight, Role::attention_norm_bias, input, count, normed_);
      input = normed_;
    }
    linear(use, Role::q_weight, Role::q_bias, input, count, Epilogue::none, q_ + begin * h);
    gpu::append_x(context_, tasks(begin, count), h, input);
    begin += count;
  }
}

// Whole prompts, as many as the workspace has room for at a time.
void CudaOps::attend_prompts_to_x(const Use& use, const BatchRows& rows, const TaskSource& tasks) {
  const std::int64_t h = config_.hidden;
  std::vector<gpu::KvTask> prompts;
  std::int64_t first = 0, count = 0;
  const auto attend = [&] {
    if (count == 0) return;
    gpu::gather_x(context_, tasks(first, count), h, x_->inputs);
    linear(use, Role::k_weight, Role::k_bias, x_->inputs, count, Epilogue::none, x_->keys);
    linear(use, Role::v_weight, Role::v_bias, x_->inputs, count, Epilogue::none, x_->values);
    const auto batch = gpu::batch_of(prompts, uploads_.upload(std::span<const gpu::KvTask>(prompts)));
    gpu::attention_prefill(context_, batch, config_.head_dim(),
                           {q_ + first * h, attended_ + first * h, h, h});
    first += count;
    count = 0;
    prompts.clear();
  };
  for (const RowSpan& span : rows.spans) {
    if (!span.prompt) continue;
    if (count + span.count > x_->work.prompt_rows) attend();
    gpu::KvTask task;
    task.keys = x_->keys + count * h;
    task.values = x_->values + count * h;
    task.first_row = static_cast<std::int32_t>(count);
    task.rows = static_cast<std::int32_t>(span.count);
    task.heads = static_cast<std::int32_t>(config_.heads);
    prompts.push_back(task);
    count += span.count;
  }
  attend();
}

void CudaOps::attend_to_x(const Use& use, const BatchRows& rows, const TaskSource& tasks) {
  const std::int64_t h = config_.hidden, of_prompts = rows.prompt_rows;
  attend_prompts_to_x(use, rows, tasks);
  if (rows.rows == of_prompts) return;
  gpu::attention_x(context_, tasks(of_prompts, rows.rows - of_prompts),
                   {.heads = config_.heads,
                    .head_dim = config_.head_dim(),
                    .k_weight = matrix(use, Role::k_weight),
                    .v_weight = matrix(use, Role::v_weight),
                    .v_bias = vector(use, Role::v_bias),
                    .rows = rows.rows - of_prompts,
                    .q = q_ + of_prompts * h,
                    .out = attended_ + of_prompts * h,
                    .absorbed = x_->absorbed,
                    .scores = x_->scores,
                    .weights = x_->weights,
                    .score_stride = x_->work.score_stride});
}

}  // namespace optpipe::executor::cuda
