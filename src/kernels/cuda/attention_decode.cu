#include "kernels/cuda/attention_rows.cuh"
#include "kernels/cuda/launches.hpp"
#include "kernels/cuda/status.hpp"

namespace optpipe::kernels::cuda {
namespace {

RowKernels kernels_of(const KvBatch& batch, std::int64_t dim, bool wide) {
  if (is_quantized(batch.format)) return coded_row_kernels(batch.format, dim, wide);
  return wide ? row_kernels_for<NativeRows<true>>(dim) : row_kernels_for<NativeRows<false>>(dim);
}

int parts_of(const KvBatch& batch) { return (batch.most_context + kPart - 1) / kPart; }

}  // namespace

std::int64_t partial_floats(const KvBatch& batch, std::int64_t head_dim, bool wide) {
  return std::int64_t{batch.count} * batch.most_heads * parts_of(batch) *
         kernels_of(batch, head_dim, wide).groups * (head_dim + 2);
}

void launch_row_attention(const RowAttention& a, Stream stream) {
  const auto heads = static_cast<unsigned>(a.batch.most_heads), tasks = static_cast<unsigned>(a.batch.count);
  const auto dim = static_cast<int>(a.head_dim);
  const dim3 grid(heads, static_cast<unsigned>(a.splits > 0 ? a.splits : a.batch.most_rows), tasks);
  const RowKernels kernels = kernels_of(a.batch, dim, a.wide);
  const Partials partials{a.partials, parts_of(a.batch), kernels.groups, dim};
  kernels.attend<<<grid, kThreads, 0, stream>>>(a.batch.tasks, dim, a.rows, a.splits, partials);
  check_launch("attend_rows");
  if (a.splits <= 1) return;
  kernels.merge<<<dim3(heads, 1, tasks), kThreads, 0, stream>>>(a.batch.tasks, a.rows, partials);
  check_launch("merge_parts");
}

}  // namespace optpipe::kernels::cuda
