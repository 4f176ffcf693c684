#include "executor/cuda/cuda_ops.hpp"

#include <algorithm>
#include <chrono>
#include <ranges>

#include "optpipe/base/log.hpp"

namespace optpipe::executor::cuda {
namespace {

namespace gpu = kernels::cuda;
using kernels::Epilogue;
using memory::aligned;
using model::Role;
using planner::cuda::kEmbeddedRows;
using planner::cuda::kHeadChunkRows;

static_assert(sizeof(gpu::KvTask) == planner::cuda::kKvTaskBytes &&
              sizeof(gpu::Draw) == planner::cuda::kDrawBytes &&
              gpu::Context::kWorkspaceBytes == planner::cuda::kLibraryBytes &&
              gpu::Context::kWideningBytes == planner::cuda::kWideningBytes);

Bytes halves(std::int64_t rows, std::int64_t columns) {
  return aligned(static_cast<Bytes>(rows * columns) * sizeof(Half));
}

}  // namespace

gpu::Matrix CudaOps::to_gpu(const executor::Matrix& found) {
  gpu::Matrix matrix{found.columns, {}, found.format};
  for (std::size_t i = 0; i < found.count; ++i)
    matrix.pieces[i] = {reinterpret_cast<const Half*>(found.pieces[i].data), found.pieces[i].rows};
  return matrix;
}

CudaOps::CudaOps(const model::ModelConfig& config, const model::StageSlice& slice, const WeightStore& weights,
                 const planner::StagePlan& plan, const TierMemory& memory, cudaStream_t stream)
    : config_(config),
      weights_(weights),
      stream_(stream),
      context_(stream, gpu::Context::kWorkspaceBytes,
               plan.needs.library_bytes - planner::cuda::kLibraryBytes),
      device_("workspaces", plan.needs.attention_bytes + plan.needs.decode_bytes + plan.needs.scratch_bytes,
              memory.device),
      pinned_("staging of small arrays", plan.needs.small_bytes, memory.host),
      widened_(config, plan.needs.widened_bytes, memory.device, context_),
      uploads_(context_, planner::cuda::upload_slot_bytes(plan.bounds), device_, pinned_),
      quantized_kv_(is_quantized(plan.kv.format)),
      most_positions_(plan.bounds.positions),
      decode_output_(3 * plan.bounds.sequences * config.hidden) {
  const auto take = [&](std::int64_t count, std::int64_t columns) {
    return reinterpret_cast<Half*>(device_.take(halves(count, columns)).data());
  };
  const auto rows = plan.bounds.rows, chunk = std::min(rows, kChunkRows);
  q_ = take(planner::cuda::q_rows(plan.bounds), config.hidden);
  attended_ = take(rows, config.hidden);
  for (std::int64_t i = 0; i < plan.needs.host_slots; ++i)
    decode_.push_back(take(4 * plan.bounds.sequences, config.hidden));
  normed_ = take(chunk, config.hidden);
  normed_rows_ = chunk;
  if (plan.needs.x_bytes > 0)
    x_.emplace(config, plan, memory.device);
  else
    keys_ = take(chunk, config.hidden), values_ = take(chunk, config.hidden);
  inner_ = take(chunk, config.ffn);
  if (slice.embedding || slice.head) embedded_ = take(std::max(chunk, kEmbeddedRows), config.embedding);
  if (slice.head)
    logits_ = reinterpret_cast<float*>(
        device_.take(aligned(static_cast<Bytes>(kHeadChunkRows * config.vocabulary) * sizeof(float))).data());
  chosen_ = reinterpret_cast<std::int32_t*>(
      device_.take(static_cast<Bytes>(plan.bounds.sequences) * sizeof(std::int32_t)).data());
}

CudaOps::AttentionBuffer CudaOps::attention(std::int32_t buffer) const {
  if (buffer == 0) return {q_, attended_};
  Half* rows = decode_[static_cast<std::size_t>(buffer - 1)];
  return {rows, rows + decode_output_};
}

gpu::Matrix CudaOps::matrix(const Use& use, Role role) {
  return widened_.matrix(use.group, role, to_gpu(weights_.matrix(use.group, role, use.slot)));
}

const Half* CudaOps::vector(const Use& use, Role role) const {
  return role == Role::count ? nullptr
                             : reinterpret_cast<const Half*>(weights_.vector(use.group, role, use.slot).data);
}

void CudaOps::linear(const Use& use, Role weight, Role bias, const Half* x, std::int64_t rows,
                     Epilogue epilogue, Half* out) {
  const gpu::Matrix w = matrix(use, weight);
  gpu::linear(context_, x, w.columns, rows, w, vector(use, bias), epilogue, out, w.rows());
}

void CudaOps::norm(const Use& use, Role weight, Role bias, const Half* x, std::int64_t rows, Half* out) {
  gpu::layer_norm(context_, x, rows, config_.hidden, vector(use, weight), vector(use, bias), out);
}

TaskSource CudaOps::upload(const std::vector<KvStore::Segment>& segments) {
  return [this, &segments](std::int64_t first, std::int64_t count) {
    const auto tasks = kv_tasks(segments, first, count);
    return batch_of(tasks, segments, uploads_.upload(std::span<const gpu::KvTask>(tasks)), most_positions_);
  };
}

void CudaOps::fill_buffers(std::int64_t rows) {
  const auto h = config_.hidden, chunk = std::min(rows, kChunkRows);
  gpu::fill_with_noise(context_, q_, rows * h);
  gpu::fill_with_noise(context_, attended_, rows * h);
  gpu::fill_with_noise(context_, normed_, chunk * h);
  gpu::fill_with_noise(context_, inner_, chunk * config_.ffn);
  if (embedded_ != nullptr) gpu::fill_with_noise(context_, embedded_, chunk * config_.embedding);
  if (x_) gpu::fill_with_noise(context_, x_->inputs, x_->work.prompt_rows * h);
}

// Products of up to `count` rows as project_qkv and feed_forward have them.
void CudaOps::warm_up_rows(const Use& layer, std::int64_t count) {
  const auto h = config_.hidden;
  if (x_) {
    linear(layer, Role::q_weight, Role::q_bias, normed_, count, Epilogue::none, q_);
    const auto of_prompts = std::min(count, x_->work.prompt_rows);
    linear(layer, Role::k_weight, Role::k_bias, x_->inputs, of_prompts, Epilogue::none, x_->keys);
    linear(layer, Role::v_weight, Role::v_bias, x_->inputs, of_prompts, Epilogue::none, x_->values);
  } else {
    project_apart(layer, Role::q_weight, Role::q_bias, normed_, count, q_, h);
    project_apart(layer, Role::k_weight, Role::k_bias, normed_, count, keys_, h);
    project_apart(layer, Role::v_weight, Role::v_bias, normed_, count, values_, h);
  }
  feed_forward_rows(layer, 0, count, q_, attended_);
}

void CudaOps::warm_up(std::int32_t slot, std::span<std::byte> free_slot, std::int64_t rows,
                      std::int64_t sequences, std::size_t head) {
  const Use layer{0, slot};
  const auto start = std::chrono::steady_clock::now();
  const gpu::ProductTiming timing(context_, weights_.device_memory());
  const auto for_counts = [](std::int64_t most, auto use_rows) {
    std::vector<std::int64_t> counts;
    for (std::int64_t count = 1; count < most; count = gpu::next_row_class(count)) counts.push_back(count);
    use_rows(most);
    for (const std::int64_t count : counts | std::views::reverse) use_rows(count);
  };
  gpu::fill_with_noise(context_, reinterpret_cast<Half*>(free_slot.data()),
                       static_cast<std::int64_t>(free_slot.size() / sizeof(Half)));
  fill_buffers(rows);
  for_counts(std::min(rows, kChunkRows), [&](std::int64_t count) { warm_up_rows(layer, count); });
  if (!x_)
    for_counts(std::min(sequences, kChunkRows),
               [&](std::int64_t count) { project_together(layer, normed_, count, q_); });
  if (logits_ != nullptr)
    for_counts(std::min(sequences, kHeadChunkRows), [&](std::int64_t count) {
      gpu::linear_f32(context_, embedded_, config_.embedding, count, matrix({head, slot}, Role::lm_head),
                      logits_, config_.vocabulary);
    });
  widened_.forget();  // slots hold no weights yet
  check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
  log::debug("products for up to {} rows and {} sequences are ready after {:.2f} s", rows, sequences,
             std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
}

}  // namespace optpipe::executor::cuda
