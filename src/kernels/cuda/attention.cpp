// Attention: checks, and which kernel.
#include <algorithm>
#include <bit>

#include "kernels/cuda/launches.hpp"
#include "kernels/cuda/status.hpp"
#include "optpipe/base/check.hpp"

namespace optpipe::kernels::cuda {
namespace {

constexpr std::int64_t kMostGrid = 65535;  // of a grid's second and third dimension
constexpr std::int64_t kMostHeadDim = 256;

bool aligned(const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer) % 16 == 0; }

std::int32_t alignment_of(const void* pointer, std::int32_t most) {
  return std::min(most, std::int32_t{1} << std::countr_zero(reinterpret_cast<std::uintptr_t>(pointer) | 16));
}

bool is_wide(const KvBatch& batch, std::int64_t head_dim, const AttentionRows& rows) {
  return batch.aligned() && head_dim % 8 == 0 && rows.q_stride % 8 == 0 && rows.out_stride % 8 == 0 &&
         aligned(rows.q) && aligned(rows.out);
}

// Enough blocks a head that every processor has some to overlap, as far as there are parts for them; more
// cost more in merging than they gain. Their number changes no result.
int splits_for(const Context::Parts& parts, const KvBatch& batch, std::int64_t head_dim, bool wide) {
  constexpr std::int64_t kBlocksPerProcessor = 2;
  const std::int64_t blocks = std::int64_t{batch.count} * batch.most_heads;
  const std::int64_t wanted = kBlocksPerProcessor * parts.device.processors / blocks;
  const std::int64_t useful = (batch.most_context + kContextPart - 1) / kContextPart;
  const auto room = static_cast<std::int64_t>(parts.workspace.bytes() / sizeof(float));
  if (partial_floats(batch, head_dim, wide) > room) return 1;
  return static_cast<int>(std::max<std::int64_t>(1, std::min(wanted, useful)));
}

bool check_batch(const KvBatch& batch, std::int64_t head_dim) {
  OPTPIPE_CHECK(head_dim > 0 && head_dim <= kMostHeadDim, "head dimension {}", head_dim);
  OPTPIPE_CHECK(batch.count <= kMostGrid && batch.most_rows <= kMostGrid, "{} tasks of up to {} rows",
                batch.count, batch.most_rows);
  return batch.count > 0 && batch.most_rows > 0 && batch.most_heads > 0;
}

}  // namespace

KvBatch batch_of(std::span<const KvTask> tasks, const KvTask* uploaded) {
  KvBatch batch{.tasks = uploaded, .count = static_cast<std::int32_t>(tasks.size()), .alignment = 16};
  for (const KvTask& task : tasks) {
    batch.most_rows = std::max(batch.most_rows, task.rows);
    batch.most_context = std::max(batch.most_context, task.context());
    batch.most_heads = std::max(batch.most_heads, task.heads);
    batch.alignment = alignment_of(task.values, alignment_of(task.keys, batch.alignment));
  }
  return batch;
}

void append_kv(Context& context, const KvBatch& batch, std::int64_t head_dim, const Half* k, const Half* v,
               std::int64_t stride) {
  if (!check_batch(batch, head_dim)) return;
  if (is_quantized(batch.format))
    return launch_append_coded_kv(batch, head_dim, k, v, stride, context.stream());
  const bool wide = batch.aligned() && head_dim % 8 == 0 && stride % 8 == 0 && aligned(k) && aligned(v);
  launch_append_kv(batch, head_dim, k, v, stride, wide, context.stream());
}

bool can_widen_prompts(const KvBatch& batch, std::int64_t head_dim) {
  return is_quantized(batch.format) && batch.aligned() && head_dim % kGroupValues == 0;
}

KvBatch widen_prompts(Context& context, const KvBatch& batch, std::int64_t head_dim, const WidenedKv& to) {
  OPTPIPE_CHECK(
      can_widen_prompts(batch, head_dim) && to.stride % 8 == 0 && aligned(to.keys) && aligned(to.values),
      "keys and values of {} a head as {}", head_dim, name_of(batch.format));
  KvBatch widened = batch;
  widened.format = StorageFormat::native;
  widened.alignment = 16;
  if (!check_batch(batch, head_dim)) return widened;
  auto& workspace = context.parts().workspace;
  OPTPIPE_CHECK(static_cast<Bytes>(batch.count) * sizeof(KvTask) <= workspace.bytes(), "{} tasks",
                batch.count);
  auto* tasks = reinterpret_cast<KvTask*>(workspace.data());
  launch_widen_prompts(batch, head_dim, to, tasks, context.stream());
  widened.tasks = tasks;
  return widened;
}

void take_heads(Context& context, const KvBatch& batch, std::int64_t head_dim, const Half* from,
                Half* staging, Half* to, std::int64_t rows, std::int64_t stride) {
  if (!check_batch(batch, head_dim)) return;
  OPTPIPE_CHECK(batch.most_rows <= 1, "heads of {} rows a sequence", batch.most_rows);
  if (!context.parts().device.reads_pinned) {
    check(cudaMemcpyAsync(staging, from, static_cast<std::size_t>(rows * stride) * sizeof(Half),
                          cudaMemcpyDefault, context.stream()),
          "cudaMemcpyAsync");
    from = staging;
  }
  const bool wide = head_dim % 8 == 0 && stride % 8 == 0 && aligned(from) && aligned(to);
  launch_take_heads(batch, head_dim, from, to, stride, wide, context.stream());
}

void attention_prefill(Context& context, const KvBatch& batch, std::int64_t head_dim,
                       const AttentionRows& rows) {
  if (!check_batch(batch, head_dim)) return;
  const bool wide = is_wide(batch, head_dim, rows);
  if (wide && launch_tile_attention(batch, head_dim, rows, context.parts().device, context.stream())) return;
  launch_row_attention({.batch = batch, .head_dim = head_dim, .rows = rows, .wide = wide}, context.stream());
}

void attention_decode(Context& context, const KvBatch& batch, std::int64_t head_dim,
                      const AttentionRows& rows) {
  if (!check_batch(batch, head_dim)) return;
  OPTPIPE_CHECK(batch.most_rows <= 1, "decode of {} rows a sequence", batch.most_rows);
  if (rows.sparsity < 1) {
    OPTPIPE_CHECK(batch.most_context <= kMostSparseContext, "sparse attention over {} positions",
                  batch.most_context);
    return launch_sparse_attention(batch, head_dim, rows, is_wide(batch, head_dim, rows), context.stream());
  }
  auto& parts = context.parts();
  const bool wide = is_wide(batch, head_dim, rows);
  launch_row_attention({.batch = batch,
                        .head_dim = head_dim,
                        .rows = rows,
                        .wide = wide,
                        .splits = splits_for(parts, batch, head_dim, wide),
                        .partials = reinterpret_cast<float*>(parts.workspace.data())},
                       parts.stream);
}

}  // namespace optpipe::kernels::cuda
