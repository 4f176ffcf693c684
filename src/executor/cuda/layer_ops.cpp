// One layer: projections with the KV appended, attention, and what follows it.
#include <algorithm>
#include <optional>

#include "executor/cuda/cuda_ops.hpp"
#include "optpipe/base/check.hpp"

namespace optpipe::executor::cuda {

namespace gpu = kernels::cuda;
using kernels::Epilogue;
using model::Role;

namespace {

// The matrices as one, where they lie side by side as the layout puts them; none where they do not, or where
// one is cut so that a part's product is not the whole's (tiny models).
std::optional<gpu::Matrix> join(std::initializer_list<gpu::Matrix> parts) {
  gpu::Matrix joined{parts.begin()->columns, {}, parts.begin()->format};
  const Bytes row_bytes = joined.row_format().row_bytes();
  std::size_t count = 0;
  for (const gpu::Matrix& part : parts) {
    for (const gpu::Piece& piece : part.pieces) {
      constexpr std::int64_t kWide = 8;  // halves of 16 bytes
      if (piece.rows == 0) continue;
      if (piece.rows % kWide != 0) return std::nullopt;
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

void CudaOps::project_apart(const Use& use, Role weight, Role bias, const Half* x, std::int64_t rows,
                            Half* to, std::int64_t stride) {
  gpu::Matrix part = matrix(use, weight);
  part.part_of = 3 * config_.hidden;
  gpu::linear(context_, x, config_.hidden, rows, part, vector(use, bias), Epilogue::none, to, stride);
}

void CudaOps::project_together(const Use& use, const Half* x, std::int64_t rows, Half* to) {
  const std::int64_t h = config_.hidden;
  const auto joined =
      join({matrix(use, Role::q_weight), matrix(use, Role::k_weight), matrix(use, Role::v_weight)});
  const Half *q_bias = vector(use, Role::q_bias), *k_bias = vector(use, Role::k_bias),
             *v_bias = vector(use, Role::v_bias);
  const bool one_bias = q_bias == nullptr || (k_bias == q_bias + h && v_bias == k_bias + h);
  if (joined && one_bias)
    return gpu::linear(context_, x, h, rows, *joined, q_bias, Epilogue::none, to, 3 * h);
  project_apart(use, Role::q_weight, Role::q_bias, x, rows, to, 3 * h);
  project_apart(use, Role::k_weight, Role::k_bias, x, rows, to + h, 3 * h);
  project_apart(use, Role::v_weight, Role::v_bias, x, rows, to + 2 * h, 3 * h);
}

void CudaOps::project_qkv(std::size_t group, std::int32_t slot, const BatchRows& rows, const Half* x,
                          const TaskSource& tasks, std::int32_t buffer) {
  const Use use{group, slot};
  if (x_) return project_x(use, rows, x, tasks);
  const std::int64_t h = config_.hidden;
  const bool together = are_together(rows);
  for (std::int64_t begin = 0; begin < rows.rows; begin += kChunkRows) {
    const auto count = std::min(kChunkRows, rows.rows - begin);
    const Half* input = x + begin * h;
    if (config_.pre_norm) {
      norm(use, Role::attention_norm_weight, Role::attention_norm_bias, input, count, normed_);
      input = normed_;
    }
    if (buffer != 0) {
      project_together(use, input, count, attention(buffer).q + begin * 3 * h);
    } else if (together) {
      project_together(use, input, count, q_);
      gpu::append_kv(context_, tasks(begin, count), config_.head_dim(), q_ + h, q_ + 2 * h, 3 * h);
    } else {
      project_apart(use, Role::q_weight, Role::q_bias, input, count, q_ + begin * h, h);
      project_apart(use, Role::k_weight, Role::k_bias, input, count, keys_, h);
      project_apart(use, Role::v_weight, Role::v_bias, input, count, values_, h);
      gpu::append_kv(context_, tasks(begin, count), config_.head_dim(), keys_, values_, h);
    }
  }
}

// Quantized keys and values are widened once for all queries, of so many whole prompts at a time as there is
// room for where new keys and values are on their way to the cache.
void CudaOps::attend_prompts(const BatchRows& rows, const TaskSource& tasks, const AttentionBuffer& on) {
  const std::int64_t h = config_.hidden, dim = config_.head_dim();
  std::int64_t first = 0, count = 0;
  const auto attend = [&] {
    if (count == 0) return;
    gpu::KvBatch batch = tasks(first, count);
    if (count <= kChunkRows && gpu::can_widen_prompts(batch, dim))
      batch = gpu::widen_prompts(context_, batch, dim, {keys_, values_, h});
    gpu::attention_prefill(context_, batch, dim, {on.q + first * h, on.attended + first * h, h, h});
    first += count;
    count = 0;
  };
  for (const RowSpan& span : rows.spans) {
    if (!span.prompt) continue;
    OPTPIPE_CHECK(span.position == 0 && span.first_row == first + count, "a prompt at position {}, row {}",
                  span.position, span.first_row);
    if (quantized_kv_ && count + span.count > kChunkRows) attend();
    count += span.count;
  }
  attend();
}

void CudaOps::attend(std::size_t group, std::int32_t slot, const BatchRows& rows, const TaskSource& tasks,
                     std::int32_t buffer, double sparsity) {
  if (x_) return attend_to_x({group, slot}, rows, tasks);
  const std::int64_t h = config_.hidden;
  const AttentionBuffer on = attention(buffer);
  const std::int64_t of_prompts = rows.prompt_rows, new_tokens = rows.rows - of_prompts;
  const bool together = buffer != 0 || are_together(rows);
  if (of_prompts > 0) attend_prompts(rows, tasks, on);
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

}  // namespace optpipe::executor::cuda
