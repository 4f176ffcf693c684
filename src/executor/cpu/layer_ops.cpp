#include "executor/cpu/layer_ops.hpp"

#include <algorithm>

#include "optpipe/kernels/quantized.hpp"

namespace optpipe::executor {
namespace {

using kernels::Epilogue;
using memory::aligned;
using model::Role;
using planner::cpu::kChunkRows;
using planner::cpu::kHeadChunkRows;

Bytes floats(std::int64_t rows, std::int64_t columns) {
  return aligned(static_cast<Bytes>(rows * columns) * sizeof(float));
}

}  // namespace

LayerOps::LayerOps(const model::ModelConfig& config, const model::StageSlice& slice,
                   const WeightStore& weights, const planner::StagePlan& plan,
                   memory::MemoryResource& resource, int threads)
    : config_(config),
      weights_(weights),
      threads_(threads),
      arena_("workspaces", plan.needs.attention_bytes + plan.needs.decode_bytes + plan.needs.scratch_bytes,
             resource),
      decode_output_(3 * plan.bounds.sequences * config.hidden),
      x_attention_(config, weights, plan, resource, threads),
      x_cache_(plan.needs.x_bytes > 0) {
  const auto take = [&](std::int64_t count, std::int64_t columns) {
    return reinterpret_cast<float*>(arena_.take(floats(count, columns)).data());
  };
  const auto rows = plan.bounds.rows, chunk = std::min(rows, kChunkRows);
  q_ = take(rows, config.hidden);
  attended_ = take(rows, config.hidden);
  normed_ = take(chunk, config.hidden);
  if (!x_cache_) keys_ = take(chunk, config.hidden), values_ = take(chunk, config.hidden);
  inner_ = take(chunk, config.ffn);
  if (slice.embedding || slice.head) embedded_ = take(chunk, config.embedding);
  if (slice.head) logits_ = take(kHeadChunkRows, config.vocabulary);
  for (std::int64_t i = 0; i < plan.needs.host_slots; ++i)
    decode_.push_back(take(4 * plan.bounds.sequences, config.hidden));
}

LayerOps::AttentionBuffer LayerOps::attention(std::int32_t buffer) const {
  if (buffer == 0) return {q_, attended_, config_.hidden};
  float* rows = decode_[static_cast<std::size_t>(buffer - 1)];
  return {rows, rows + decode_output_, 3 * config_.hidden};
}

void LayerOps::linear(const Use& use, Role weight, Role bias, const float* x, std::int64_t rows,
                      Epilogue epilogue, float* out, std::int64_t out_stride) const {
  const Matrix matrix = use.store.matrix(use.group, weight, use.slot);
  const auto bias_view =
      bias == Role::count ? kernels::VectorView{} : use.store.vector(use.group, bias, use.slot);
  const auto product = use.prompt ? kernels::prompt_linear : kernels::linear;
  product(x, matrix.columns, rows, matrix.view(), bias_view, epilogue, out,
          out_stride > 0 ? out_stride : matrix.rows, threads_);
}

void LayerOps::norm(const Use& use, Role weight, Role bias, const float* x, std::int64_t rows,
                    float* out) const {
  kernels::layer_norm(x, rows, config_.hidden, use.store.vector(use.group, weight, use.slot),
                      use.store.vector(use.group, bias, use.slot), out, threads_);
}

void LayerOps::embed(const BatchRows& rows, std::span<const std::int32_t> ids, float* x) {
  const std::int64_t h = config_.hidden, e = config_.embedding;
  const auto projection = weights_.project_in();
  for (const RowSpan& span : rows.spans) {
    for (std::int64_t begin = 0; begin < span.count; begin += kChunkRows) {
      const auto count = std::min(kChunkRows, span.count - begin);
      float* to = x + (span.first_row + begin) * h;
      float* gathered = projection ? embedded_ : to;
      kernels::for_parts_of_rows(count, threads_, [&](std::int64_t first, std::int64_t part) {
        for (std::int64_t i = first; i < first + part; ++i)
          weights_.gather(Role::token_embedding, ids[static_cast<std::size_t>(span.first_row + begin + i)],
                          {gathered + i * e, static_cast<std::size_t>(e)});
      });
      if (projection)
        kernels::linear(gathered, e, count, projection->view(), {}, Epilogue::none, to, h, threads_);
      kernels::for_parts_of_rows(count, threads_, [&](std::int64_t first, std::int64_t part) {
        std::vector<float> position(static_cast<std::size_t>(h));
        for (std::int64_t i = first; i < first + part; ++i) {
          weights_.gather(Role::position_embedding, span.position + begin + i + model::kPositionOffset,
                          position);
          std::transform(position.begin(), position.end(), to + i * h, to + i * h, std::plus<>());
        }
      });
    }
  }
}

namespace {

// Calls visit(first row, rows, whether they belong to prompts) for chunks of rows of one kind.
template <class Visit>
void for_each_chunk(const BatchRows& rows, Visit visit) {
  for (std::int64_t begin = 0; begin < rows.prompt_rows; begin += kChunkRows)
    visit(begin, std::min(kChunkRows, rows.prompt_rows - begin), true);
  for (std::int64_t begin = rows.prompt_rows; begin < rows.rows; begin += kChunkRows)
    visit(begin, std::min(kChunkRows, rows.rows - begin), false);
}

}  // namespace

void LayerOps::project_qkv(std::size_t group, std::int32_t slot, const BatchRows& rows, const float* x,
                           KvStore& kv, const KvStore::Place& place, std::int32_t buffer) {
  const AttentionBuffer to = attention(buffer);
  const std::int64_t h = config_.hidden;
  std::vector<KvStore::Segment> segments;
  if (buffer == 0) segments = kv.segments(place, rows);  // otherwise CPU cores store what comes out
  for_each_chunk(rows, [&](std::int64_t begin, std::int64_t count, bool prompt) {
    const Use use{weights_, group, slot, prompt};
    const float* input = x + begin * h;
    if (config_.pre_norm) {
      norm(use, Role::attention_norm_weight, Role::attention_norm_bias, input, count, normed_);
      input = normed_;
    }
    float* q = to.q + begin * to.q_stride;
    float *keys = buffer == 0 ? keys_ : q + h, *values = buffer == 0 ? values_ : q + 2 * h;
    linear(use, Role::q_weight, Role::q_bias, input, count, Epilogue::none, q, to.q_stride);
    if (x_cache_) return append({begin, count, input, nullptr, h}, segments, kv.layout().format);
    linear(use, Role::k_weight, Role::k_bias, input, count, Epilogue::none, keys, to.q_stride);
    linear(use, Role::v_weight, Role::v_bias, input, count, Epilogue::none, values, to.q_stride);
    if (buffer == 0) append({begin, count, keys, values, h}, segments, kv.layout().format);
  });
}

void LayerOps::append(const NewRows& rows, const std::vector<KvStore::Segment>& segments,
                      const RowFormat& format) const {
  for (const auto& segment : segments) {
    // A chunk may hold the end of one sequence and the beginning of others.
    const auto begin = std::max(rows.first, segment.rows.first_row);
    const auto end = std::min(rows.first + rows.count, segment.rows.first_row + segment.rows.count);
    for (std::int64_t row = begin; row < end; ++row) {
      const auto position = segment.rows.position + row - segment.rows.first_row;
      const auto to = static_cast<Bytes>(position) * format.row_bytes(segment.heads);
      const auto from = (row - rows.first) * rows.stride + segment.first_head * format.run;
      kernels::narrow_row(format, segment.heads, rows.keys + from, segment.keys + to);
      if (segment.values) kernels::narrow_row(format, segment.heads, rows.values + from, segment.values + to);
    }
  }
}

void LayerOps::attend(std::size_t group, std::int32_t slot, const BatchRows& rows, const KvStore& kv,
                      const KvStore::Place& place, std::int32_t buffer, double sparsity) {
  const std::int64_t h = config_.hidden, dim = config_.head_dim();
  const AttentionBuffer on = attention(buffer);
  const auto segments = kv.segments(place, rows);
  if (x_cache_) return x_attention_.attend(group, slot, segments, kv.layout().format, on.q, on.attended);
  if (buffer != 0) append({0, rows.rows, on.q + h, on.q + 2 * h, on.q_stride}, segments, kv.layout().format);
  std::vector<kernels::AttentionTask> tasks;
  for (const auto& segment : segments) {
    const auto row = segment.rows.first_row, column = segment.first_head * dim;
    tasks.push_back({on.q + row * on.q_stride + column, segment.keys, segment.values,
                     on.attended + row * h + column, segment.rows.count,
                     segment.rows.position + segment.rows.count, segment.heads, h, segment.heads * dim});
    if (!segment.rows.prompt) tasks.back().kept = kernels::kept_positions(sparsity, tasks.back().context);
  }
  kernels::attention(tasks, kv.layout().format, threads_);
}

void LayerOps::return_attention(const std::vector<KvStore::Segment>& segments, const float* output,
                                std::int32_t buffer) {
  const std::int64_t h = config_.hidden, dim = config_.head_dim();
  for (const auto& segment : segments) {
    const auto at = segment.rows.first_row * h + segment.first_head * dim;
    std::copy_n(output + at, segment.heads * dim, attention(buffer).attended + at);
  }
}

void LayerOps::feed_forward_rows(const Use& use, std::int64_t first, std::int64_t count, float* x,
                                 const float* attended) {
  const std::int64_t h = config_.hidden;
  float* row = x + first * h;
  linear(use, Role::o_weight, Role::o_bias, attended + first * h, count, Epilogue::add, row);
  if (!config_.pre_norm) norm(use, Role::attention_norm_weight, Role::attention_norm_bias, row, count, row);
  const float* input = row;
  if (config_.pre_norm) {
    norm(use, Role::final_norm_weight, Role::final_norm_bias, row, count, normed_);
    input = normed_;
  }
  const auto activation = config_.activation == model::Activation::relu ? Epilogue::relu : Epilogue::gelu;
  linear(use, Role::fc1_weight, Role::fc1_bias, input, count, activation, inner_);
  linear(use, Role::fc2_weight, Role::fc2_bias, inner_, count, Epilogue::add, row);
  if (!config_.pre_norm) norm(use, Role::final_norm_weight, Role::final_norm_bias, row, count, row);
}

void LayerOps::feed_forward(std::size_t group, std::int32_t slot, const BatchRows& rows, float* x,
                            std::int32_t buffer) {
  for_each_chunk(rows, [&](std::int64_t begin, std::int64_t count, bool prompt) {
    feed_forward_rows({weights_, group, slot, prompt}, begin, count, x, attention(buffer).attended);
  });
}

std::vector<std::int32_t> LayerOps::sample(std::size_t group, std::int32_t slot, const BatchRows& rows,
                                           const float* x, const kernels::SamplingOptions& options,
                                           const LogitsObserver& on_logits) {
  const Use use{weights_, group, slot, false};
  const std::int64_t h = config_.hidden, vocabulary = config_.vocabulary;
  std::vector<std::int32_t> tokens;
  for (std::size_t begin = 0; begin < rows.spans.size(); begin += kHeadChunkRows) {
    const auto count =
        std::min<std::int64_t>(kHeadChunkRows, static_cast<std::int64_t>(rows.spans.size() - begin));
    for (std::int64_t i = 0; i < count; ++i) {
      const RowSpan& span = rows.spans[begin + static_cast<std::size_t>(i)];
      std::copy_n(x + (span.first_row + span.count - 1) * h, h, normed_ + i * h);
    }
    const float* input = normed_;
    if (config_.final_norm)
      norm(use, Role::output_norm_weight, Role::output_norm_bias, normed_, count, normed_);
    if (config_.has_projection()) {
      linear(use, Role::project_out, Role::count, input, count, Epilogue::none, embedded_);
      input = embedded_;
    }
    linear(use, Role::lm_head, Role::count, input, count, Epilogue::none, logits_);
    for (std::int64_t i = 0; i < count; ++i) {
      const RowSpan& span = rows.spans[begin + static_cast<std::size_t>(i)];
      const std::span logits(logits_ + i * vocabulary, static_cast<std::size_t>(vocabulary));
      if (on_logits) on_logits(span.index, span.age, logits);
      tokens.push_back(kernels::sample_token(logits, options, static_cast<std::uint64_t>(span.index),
                                             static_cast<std::uint64_t>(span.age)));
    }
  }
  return tokens;
}

}  // namespace optpipe::executor
