#include "executor/cpu/x_attention.hpp"

#include <cmath>

#include "optpipe/kernels/quantized.hpp"
#include "optpipe/kernels/x_attention.hpp"

namespace optpipe::executor {

using kernels::Epilogue;
using memory::aligned;
using model::Role;

XAttention::XAttention(const model::ModelConfig& config, const WeightStore& weights,
                       const planner::StagePlan& plan, memory::MemoryResource& resource, int threads)
    : config_(config),
      weights_(weights),
      threads_(threads),
      arena_("workspaces of attention to the X cache", plan.needs.x_bytes, resource) {
  if (plan.needs.x_bytes == 0) return;
  work_ = planner::x_workspace(config, plan.bounds, planner::Backend::cpu);
  const auto take = [&](std::int64_t count) {
    return reinterpret_cast<float*>(arena_.take(aligned(static_cast<Bytes>(count) * sizeof(float))).data());
  };
  for (float** rows : {&inputs_, &keys_, &values_}) *rows = take(work_.prompt_rows * config.hidden);
  absorbed_ = take(work_.absorbed);
  scores_ = take(work_.scores());
}

void XAttention::attend(std::size_t group, std::int32_t slot, const std::vector<KvStore::Segment>& segments,
                        const RowFormat& cache, const float* q, float* out) {
  const Projections of{
      weights_.matrix(group, Role::k_weight, slot), weights_.matrix(group, Role::v_weight, slot),
      weights_.vector(group, Role::k_bias, slot), weights_.vector(group, Role::v_bias, slot)};
  std::vector<KvStore::Segment> prompts, new_tokens;
  for (const auto& segment : segments) (segment.rows.prompt ? prompts : new_tokens).push_back(segment);
  for (std::size_t begin = 0, end = 0; begin < prompts.size(); begin = end) {
    std::int64_t rows = 0;
    while (end < prompts.size() && rows + prompts[end].rows.count <= work_.prompt_rows)
      rows += prompts[end++].rows.count;
    attend_prompts(of, Segments(prompts).subspan(begin, end - begin), cache, q, out);
  }
  if (!new_tokens.empty()) attend_new_tokens(of, new_tokens, cache, q, out);
}

// Of X as it is stored, so that new tokens, which see nothing else of a prompt, attend to the same keys.
void XAttention::attend_prompts(const Projections& of, Segments segments, const RowFormat& cache,
                                const float* q, float* out) {
  const std::int64_t h = config_.hidden;
  std::vector<kernels::AttentionTask> tasks;
  std::int64_t rows = 0;
  for (const auto& segment : segments) {
    const std::int64_t first = segment.rows.first_row, count = segment.rows.count;
    kernels::for_parts_of_rows(count, threads_, [&](std::int64_t begin, std::int64_t part) {
      for (std::int64_t i = begin; i < begin + part; ++i)
        kernels::widen_row(cache, 1, segment.keys + static_cast<Bytes>(i) * cache.row_bytes(),
                           inputs_ + (rows + i) * h);
    });
    tasks.push_back({q + first * h, reinterpret_cast<const std::byte*>(keys_ + rows * h),
                     reinterpret_cast<const std::byte*>(values_ + rows * h), out + first * h, count, count,
                     config_.heads, h, h});
    rows += count;
  }
  kernels::prompt_linear(inputs_, h, rows, of.k.view(), of.k_bias, Epilogue::none, keys_, h, threads_);
  kernels::prompt_linear(inputs_, h, rows, of.v.view(), of.v_bias, Epilogue::none, values_, h, threads_);
  kernels::attention(tasks, config_.head_dim(), DType::f32, threads_);
}

void XAttention::attend_new_tokens(const Projections& of, Segments segments, const RowFormat& cache,
                                   const float* q, float* out) {
  absorb_queries(of, segments, q);
  sum_inputs(segments, cache);
  const std::int64_t h = config_.hidden, dim = config_.head_dim(), of_sequence = config_.heads * h;
  const auto first = segments.front().rows.first_row, count = static_cast<std::int64_t>(segments.size());
  for (std::int64_t head = 0; head < config_.heads; ++head) {
    kernels::VectorView bias = of.v_bias;
    if (bias.data) bias.data += static_cast<Bytes>(head * dim) * size_of(bias.dtype);
    kernels::linear(absorbed_ + head * h, of_sequence, count, of.v.part(head * dim, dim).view(), bias,
                    Epilogue::none, out + first * h + head * dim, h, threads_);
  }
}

// q · (Wk · X + bk) = (Wkᵀ · q) · X + q · bk, and what is the same for all positions falls out of the
// softmax.
void XAttention::absorb_queries(const Projections& of, Segments segments, const float* q) {
  const std::int64_t h = config_.hidden, dim = config_.head_dim(), of_sequence = config_.heads * h;
  const auto first = segments.front().rows.first_row, count = static_cast<std::int64_t>(segments.size());
  for (std::int64_t head = 0; head < config_.heads; ++head)
    kernels::combine_rows(q + first * h + head * dim, h, count, of.k.part(head * dim, dim).view(),
                          absorbed_ + head * h, of_sequence, threads_);
}

// Queries become sums of X, weighted by the softmax of their scores.
void XAttention::sum_inputs(Segments segments, const RowFormat& cache) {
  const std::int64_t h = config_.hidden, heads = config_.heads, stride = work_.score_stride;
  const float scale = 1 / std::sqrt(static_cast<float>(config_.head_dim()));
  float* queries = absorbed_;
  for (const auto& segment : segments) {
    const auto context = segment.rows.position + segment.rows.count;
    const kernels::MatrixPiece piece{segment.keys, context};
    const kernels::MatrixView inputs{cache.dtype, context, h, {&piece, 1}};
    kernels::linear(queries, h, heads, inputs, {}, Epilogue::none, scores_, stride, threads_);
    kernels::softmax_rows(scores_, heads, context, stride, scale, threads_);
    kernels::combine_rows(scores_, stride, heads, inputs, queries, h, threads_);
    queries += heads * h;
  }
}

}  // namespace optpipe::executor
