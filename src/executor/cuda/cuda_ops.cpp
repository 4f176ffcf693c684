#include "executor/cuda/cuda_ops.hpp"

#include <algorithm>

namespace optpipe::executor::cuda {
namespace {

namespace gpu = kernels::cuda;
using kernels::Epilogue;
using memory::aligned;
using model::Role;
using planner::cuda::kGatherRows;
using planner::cuda::kHeadChunkRows;

static_assert(sizeof(gpu::KvTask) == planner::cuda::kKvTaskBytes &&
              sizeof(gpu::Draw) == planner::cuda::kDrawBytes &&
              gpu::Context::kWorkspaceBytes == planner::cuda::kLibraryBytes &&
              gpu::Context::kWideningBytes == planner::cuda::kWideningBytes);

Bytes halves(std::int64_t rows, std::int64_t columns) {
  return aligned(static_cast<Bytes>(rows * columns) * sizeof(Half));
}

gpu::Matrix to_gpu(const executor::Matrix& found) {
  gpu::Matrix matrix{found.columns, {}, found.format};
  for (std::size_t i = 0; i < found.count; ++i)
    matrix.pieces[i] = {reinterpret_cast<const Half*>(found.pieces[i].data), found.pieces[i].rows};
  return matrix;
}

}  // namespace

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
      uploads_(context_, planner::cuda::upload_slot_bytes(plan.bounds), device_, pinned_),
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
  keys_ = take(chunk, config.hidden);
  values_ = take(chunk, config.hidden);
  inner_ = take(chunk, config.ffn);
  if (slice.embedding || slice.head) embedded_ = take(std::max(chunk, kGatherRows), config.embedding);
  if (slice.head)
    logits_ = reinterpret_cast<float*>(
        device_.take(aligned(static_cast<Bytes>(kHeadChunkRows * config.vocabulary) * sizeof(float))).data());
  chosen_ = reinterpret_cast<std::int32_t*>(
      device_.take(static_cast<Bytes>(plan.bounds.sequences) * sizeof(std::int32_t)).data());
  for (std::size_t i = 0; i < 2; ++i) {
    gather_[i] = pinned_.take(planner::cuda::gather_bytes(config));
    gather_done_[i] = make_event();
  }
}

CudaOps::AttentionBuffer CudaOps::attention(std::int32_t buffer) const {
  if (buffer == 0) return {q_, attended_};
  Half* rows = decode_[static_cast<std::size_t>(buffer - 1)];
  return {rows, rows + decode_output_};
}

gpu::Matrix CudaOps::matrix(const Use& use, Role role) const {
  return to_gpu(weights_.matrix(use.group, role, use.slot));
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

void CudaOps::embed(const BatchRows& rows, std::span<const std::int32_t> ids, Half* x, int threads) {
  if (weights_.tables_on_device())
    embed_from_device(rows, ids, x);
  else
    embed_from_host(rows, ids, x, threads);
}

namespace {

std::vector<std::int32_t> position_rows(const BatchRows& rows) {
  std::vector<std::int32_t> positions(static_cast<std::size_t>(rows.rows));
  for (const RowSpan& span : rows.spans)
    for (std::int64_t i = 0; i < span.count; ++i)
      positions[static_cast<std::size_t>(span.first_row + i)] =
          static_cast<std::int32_t>(span.position + i + model::kPositionOffset);
  return positions;
}

}  // namespace

void CudaOps::embed_from_device(const BatchRows& rows, std::span<const std::int32_t> ids, Half* x) {
  const std::int64_t h = config_.hidden;
  const auto positions = position_rows(rows);
  const gpu::Lookup tokens{to_gpu(weights_.table(Role::token_embedding)), uploads_.upload(ids)};
  const gpu::Lookup places{to_gpu(weights_.table(Role::position_embedding)),
                           uploads_.upload(std::span<const std::int32_t>(positions))};
  const auto projection = weights_.project_in();
  if (!projection) return gpu::embed(context_, tokens, places, rows.rows, h, false, x);
  const gpu::Lookup none{};
  for (std::int64_t begin = 0; begin < rows.rows; begin += kGatherRows) {
    const auto count = std::min(kGatherRows, rows.rows - begin);
    gpu::embed(context_, {tokens.table, tokens.ids + begin}, none, count, config_.embedding, false,
               embedded_);
    gpu::linear(context_, embedded_, config_.embedding, count, to_gpu(*projection), nullptr, Epilogue::none,
                x + begin * h, h);
  }
  gpu::embed(context_, none, places, rows.rows, h, true, x);
}

// The CPU gathers rows into pinned chunks; without a projection it also adds the positions, as the kernel
// would: in fp32, rounded once.
void CudaOps::embed_from_host(const BatchRows& rows, std::span<const std::int32_t> ids, Half* x,
                              int threads) {
  const std::int64_t h = config_.hidden, e = config_.embedding;
  const auto projection = weights_.project_in();
  const auto positions = position_rows(rows);
  for (std::int64_t begin = 0, turn = 0; begin < rows.rows; begin += kGatherRows, ++turn) {
    const auto count = std::min(kGatherRows, rows.rows - begin);
    const auto half = static_cast<std::size_t>(turn % 2);
    check(cudaEventSynchronize(gather_done_[half].get()), "cudaEventSynchronize");
    auto* tokens_out = reinterpret_cast<std::byte*>(gather_[half].data());
    auto* places_out = tokens_out + static_cast<std::size_t>(kGatherRows * e) * sizeof(Half);
    kernels::for_parts_of_rows(count, threads, [&](std::int64_t first, std::int64_t part) {
      std::vector<float> token(static_cast<std::size_t>(e)), place(static_cast<std::size_t>(h));
      for (std::int64_t i = first; i < first + part; ++i) {
        const auto row = static_cast<std::size_t>(begin + i);
        weights_.gather(Role::token_embedding, ids[row], token);
        weights_.gather(Role::position_embedding, positions[row], place);
        if (!projection)
          std::transform(token.begin(), token.end(), place.begin(), token.begin(), std::plus<>());
        kernels::from_float(token.data(), tokens_out + static_cast<std::size_t>(i * e) * sizeof(Half),
                            DType::f16, e);
        if (projection)
          kernels::from_float(place.data(), places_out + static_cast<std::size_t>(i * h) * sizeof(Half),
                              DType::f16, h);
      }
    });
    const auto copy = [&](void* to, const void* from, std::int64_t columns) {
      check(cudaMemcpyAsync(to, from, static_cast<std::size_t>(count * columns) * sizeof(Half),
                            cudaMemcpyHostToDevice, stream_),
            "cudaMemcpyAsync");
    };
    if (!projection) {
      copy(x + begin * h, tokens_out, h);
    } else {
      copy(embedded_, tokens_out, e);
      copy(x + begin * h, places_out, h);
      gpu::linear(context_, embedded_, e, count, to_gpu(*projection), nullptr, Epilogue::add, x + begin * h,
                  h);
    }
    check(cudaEventRecord(gather_done_[half].get(), stream_), "cudaEventRecord");
  }
}

std::vector<gpu::KvTask> kv_tasks(const std::vector<KvStore::Segment>& segments, std::int64_t first,
                                  std::int64_t count) {
  std::vector<gpu::KvTask> tasks;
  for (const auto& segment : segments) {
    const auto begin = std::max(first, segment.rows.first_row);
    const auto end = std::min(first + count, segment.rows.first_row + segment.rows.count);
    if (begin >= end) continue;
    gpu::KvTask task;
    task.keys = reinterpret_cast<Half*>(segment.keys);
    task.values = reinterpret_cast<Half*>(segment.values);
    task.first_row = static_cast<std::int32_t>(begin - first);
    task.rows = static_cast<std::int32_t>(end - begin);
    task.position = static_cast<std::int32_t>(segment.rows.position + begin - segment.rows.first_row);
    task.first_head = segment.first_head;
    task.heads = segment.heads;
    tasks.push_back(task);
  }
  return tasks;
}

gpu::KvBatch batch_of(const std::vector<gpu::KvTask>& tasks, const std::vector<KvStore::Segment>& segments,
                      const gpu::KvTask* uploaded) {
  gpu::KvBatch batch = gpu::batch_of(tasks, uploaded);
  if (!segments.empty()) batch.format = segments.front().format;
  for (const auto& segment : segments)
    batch.most_context = std::max(batch.most_context, static_cast<std::int32_t>(segment.positions));
  return batch;
}

TaskSource CudaOps::upload(const std::vector<KvStore::Segment>& segments) {
  return [this, &segments](std::int64_t first, std::int64_t count) {
    const auto tasks = kv_tasks(segments, first, count);
    return batch_of(tasks, segments, uploads_.upload(std::span<const gpu::KvTask>(tasks)));
  };
}

namespace {

// The matrices as one, where they lie side by side as the layout puts them; none where they do not.
std::optional<gpu::Matrix> join(std::initializer_list<gpu::Matrix> parts) {
  gpu::Matrix joined{parts.begin()->columns, {}, parts.begin()->format};
  const Bytes row_bytes = joined.row_format().row_bytes();
  std::size_t count = 0;
  for (const gpu::Matrix& part : parts) {
    for (const gpu::Piece& piece : part.pieces) {
      if (piece.rows == 0) continue;
      const gpu::Piece* last = count > 0 ? &joined.pieces[count - 1] : nullptr;
      if (last &&
          reinterpret_cast<const std::byte*>(last->data) + static_cast<Bytes>(last->rows) * row_bytes ==
              reinterpret_cast<const std::byte*>(piece.data)) {
        joined.pieces[count - 1].rows += piece.rows;
      } else {
        if (count == joined.pieces.size()) return std::nullopt;
        joined.pieces[count++] = piece;
      }
    }
  }
  return joined;
}

}  // namespace

void CudaOps::project_together(const Use& use, const Half* x, std::int64_t rows, Half* to) {
  const std::int64_t h = config_.hidden;
  const auto joined =
      join({matrix(use, Role::q_weight), matrix(use, Role::k_weight), matrix(use, Role::v_weight)});
  const Half *q_bias = vector(use, Role::q_bias), *k_bias = vector(use, Role::k_bias),
             *v_bias = vector(use, Role::v_bias);
  const bool one_bias = q_bias == nullptr || (k_bias == q_bias + h && v_bias == k_bias + h);
  if (joined && one_bias)
    return gpu::linear(context_, x, h, rows, *joined, q_bias, Epilogue::none, to, 3 * h);
  const auto project = [&](Role weight, const Half* bias, Half* out) {
    gpu::linear(context_, x, h, rows, matrix(use, weight), bias, Epilogue::none, out, 3 * h);
  };
  project(Role::q_weight, q_bias, to);
  project(Role::k_weight, k_bias, to + h);
  project(Role::v_weight, v_bias, to + 2 * h);
}

void CudaOps::project_qkv(std::size_t group, std::int32_t slot, const BatchRows& rows, const Half* x,
                          const TaskSource& tasks, std::int32_t buffer) {
  const Use use{group, slot};
  const std::int64_t h = config_.hidden;
  for (std::int64_t begin = 0; begin < rows.rows;) {
    // Rows of prompts, then those of new tokens, which fit into one chunk or pass as if they were a prompt's.
    const bool together = begin >= rows.prompt_rows && are_together(rows);
    const auto end = together || !are_together(rows) ? rows.rows : rows.prompt_rows;
    const auto count = std::min(kChunkRows, end - begin);
    const Half* input = x + begin * h;
    if (config_.pre_norm) {
      norm(use, Role::attention_norm_weight, Role::attention_norm_bias, input, count, normed_);
      input = normed_;
    }
    if (buffer != 0) {
      project_together(use, input, count, attention(buffer).q + begin * 3 * h);
      begin += count;
      continue;
    }
    if (together) {
      Half* const q = q_ + begin * h;
      project_together(use, input, count, q);
      gpu::append_kv(context_, tasks(begin, count), config_.head_dim(), q + h, q + 2 * h, 3 * h);
      return;
    }
    linear(use, Role::q_weight, Role::q_bias, input, count, Epilogue::none, q_ + begin * h);
    linear(use, Role::k_weight, Role::k_bias, input, count, Epilogue::none, keys_);
    linear(use, Role::v_weight, Role::v_bias, input, count, Epilogue::none, values_);
    gpu::append_kv(context_, tasks(begin, count), config_.head_dim(), keys_, values_, h);
    begin += count;
  }
}

void CudaOps::attend(const BatchRows& rows, const TaskSource& tasks, std::int32_t buffer, double sparsity) {
  const std::int64_t h = config_.hidden;
  const AttentionBuffer on = attention(buffer);
  const std::int64_t of_prompts = rows.prompt_rows, new_tokens = rows.rows - of_prompts;
  const bool together = buffer != 0 || are_together(rows);
  if (of_prompts > 0)
    gpu::attention_prefill(context_, tasks(0, of_prompts), config_.head_dim(), {on.q, on.attended, h, h});
  if (new_tokens == 0) return;
  const gpu::KvBatch batch = tasks(of_prompts, new_tokens);
  if (buffer != 0) gpu::append_kv(context_, batch, config_.head_dim(), on.q + h, on.q + 2 * h, 3 * h);
  gpu::attention_decode(
      context_, batch, config_.head_dim(),
      {on.q + of_prompts * h, on.attended + of_prompts * h, together ? 3 * h : h, h, sparsity});
}

void CudaOps::fetch_qkv(cudaStream_t stream, std::byte* to, std::int32_t buffer, Bytes bytes) const {
  gpu::copy_small(context_, stream, to, attention(buffer).q, bytes);
}

void CudaOps::return_attention(const BatchRows& rows, const TaskSource& tasks, const std::byte* output,
                               std::int32_t buffer) {
  gpu::take_heads(context_, tasks(0, rows.rows), config_.head_dim(), reinterpret_cast<const Half*>(output),
                  keys_, attention(buffer).attended, rows.rows, config_.hidden);
}

void CudaOps::feed_forward_rows(const Use& use, std::int64_t first, std::int64_t count, Half* x,
                                const Half* attended) {
  const std::int64_t h = config_.hidden;
  Half* row = x + first * h;
  linear(use, Role::o_weight, Role::o_bias, attended + first * h, count, Epilogue::add, row);
  if (!config_.pre_norm) norm(use, Role::attention_norm_weight, Role::attention_norm_bias, row, count, row);
  const Half* input = row;
  if (config_.pre_norm) {
    norm(use, Role::final_norm_weight, Role::final_norm_bias, row, count, normed_);
    input = normed_;
  }
  const auto activation = config_.activation == model::Activation::relu ? Epilogue::relu : Epilogue::gelu;
  linear(use, Role::fc1_weight, Role::fc1_bias, input, count, activation, inner_);
  linear(use, Role::fc2_weight, Role::fc2_bias, inner_, count, Epilogue::add, row);
  if (!config_.pre_norm) norm(use, Role::final_norm_weight, Role::final_norm_bias, row, count, row);
}

void CudaOps::feed_forward(std::size_t group, std::int32_t slot, const BatchRows& rows, Half* x,
                           std::int32_t buffer) {
  for (std::int64_t begin = 0; begin < rows.rows; begin += kChunkRows)
    feed_forward_rows({group, slot}, begin, std::min(kChunkRows, rows.rows - begin), x,
                      attention(buffer).attended);
}

void CudaOps::warm_up(std::int32_t slot, std::int64_t rows, std::int64_t sequences, std::size_t head) {
  const Use layer{0, slot};
  const auto decoded = std::min(sequences, kChunkRows);
  for (const std::int64_t count : {std::min(rows, kChunkRows), rows % kChunkRows, decoded}) {
    if (count == 0) continue;
    linear(layer, Role::q_weight, Role::q_bias, normed_, count, Epilogue::none, q_);
    feed_forward_rows(layer, 0, count, q_, attended_);
  }
  project_together(layer, normed_, decoded, q_);
  if (logits_ != nullptr)
    gpu::linear_f32(context_, embedded_, config_.embedding, std::min(sequences, kHeadChunkRows),
                    matrix({head, slot}, Role::lm_head), logits_, config_.vocabulary);
  check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
}

void CudaOps::sample(std::size_t group, std::int32_t slot, const BatchRows& rows, const Half* x,
                     const StageOptions& options, std::int32_t* tokens) {
  const Use use{group, slot};
  const std::int64_t h = config_.hidden, vocabulary = config_.vocabulary;
  std::vector<std::int32_t> last_rows;
  std::vector<gpu::Draw> draws;
  for (const RowSpan& span : rows.spans) {
    last_rows.push_back(static_cast<std::int32_t>(span.first_row + span.count - 1));
    draws.push_back({static_cast<std::uint64_t>(span.index), static_cast<std::uint64_t>(span.age)});
  }
  const auto* rows_there = uploads_.upload(std::span<const std::int32_t>(last_rows));
  const auto* draws_there = uploads_.upload(std::span<const gpu::Draw>(draws));
  for (std::size_t begin = 0; begin < rows.spans.size(); begin += kHeadChunkRows) {
    const auto count =
        std::min<std::int64_t>(kHeadChunkRows, static_cast<std::int64_t>(rows.spans.size() - begin));
    gpu::gather_rows(context_, x, rows_there + begin, count, h, normed_);
    const Half* input = normed_;
    if (config_.final_norm)
      norm(use, Role::output_norm_weight, Role::output_norm_bias, normed_, count, normed_);
    if (config_.has_projection()) {
      linear(use, Role::project_out, Role::count, input, count, Epilogue::none, embedded_);
      input = embedded_;
    }
    gpu::linear_f32(context_, input, config_.embedding, count, matrix(use, Role::lm_head), logits_,
                    vocabulary);
    if (options.on_logits) observe(rows, begin, count, options.on_logits);
    if (!options.sampling.sample) {
      gpu::argmax(context_, logits_, count, vocabulary, vocabulary, chosen_ + begin);
      continue;
    }
    gpu::sample(context_, logits_, count, vocabulary, vocabulary, options.sampling, draws_there + begin,
                chosen_ + begin);
    gpu::copy_small(context_, tokens + begin, chosen_ + begin,
                    static_cast<Bytes>(count) * sizeof(std::int32_t));
    check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
    for (std::int64_t i = 0; i < count; ++i) {
      std::int32_t& token = tokens[begin + static_cast<std::size_t>(i)];
      if (token == gpu::kUndecided)
        token = gpu::settle(context_, logits_ + i * vocabulary, vocabulary, options.sampling,
                            draws[begin + static_cast<std::size_t>(i)]);
    }
  }
  if (!options.sampling.sample)
    gpu::copy_small(context_, tokens, chosen_, rows.spans.size() * sizeof(std::int32_t));
}

void CudaOps::observe(const BatchRows& rows, std::size_t first, std::int64_t count,
                      const LogitsObserver& observer) {
  const auto vocabulary = static_cast<std::size_t>(config_.vocabulary);
  std::vector<float> logits(static_cast<std::size_t>(count) * vocabulary);
  check(
      cudaMemcpyAsync(logits.data(), logits_, logits.size() * sizeof(float), cudaMemcpyDeviceToHost, stream_),
      "cudaMemcpyAsync");
  check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
  for (std::int64_t i = 0; i < count; ++i) {
    const auto& span = rows.spans[first + static_cast<std::size_t>(i)];
    observer(span.index, span.age,
             std::span(logits).subspan(static_cast<std::size_t>(i) * vocabulary, vocabulary));
  }
}

}  // namespace optpipe::executor::cuda
