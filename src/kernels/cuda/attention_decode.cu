#include "kernels/cuda/attention_rows.cuh"
#include "kernels/cuda/launches.hpp"
#include "kernels/cuda/status.hpp"

namespace optpipe::kernels::cuda {
namespace {

__global__ void merge_parts(const KvTask* tasks, int dim, AttentionRows rows, int splits, float* partials) {
  const KvTask task = tasks[blockIdx.z];
  if (static_cast<int>(blockIdx.x) >= task.heads || task.rows == 0) return;
  const int pitch = dim + 2;
  const float* parts = partial_at(partials, pitch, 0, splits);
  float most = kLeast, total = 0;
  for (int s = 0; s < splits; ++s) most = fmaxf(most, parts[s * pitch]);
  for (int s = 0; s < splits; ++s) total += parts[s * pitch + 1] * exp2f(parts[s * pitch] - most);
  const std::int64_t at = task.first_row * rows.out_stride + (task.first_head + blockIdx.x) * dim;
  for (int i = threadIdx.x; i < dim; i += blockDim.x) {
    float sum = 0;
    for (int s = 0; s < splits; ++s) sum += parts[s * pitch + 2 + i] * exp2f(parts[s * pitch] - most);
    rows.out[at + i] = to_half(sum / total);
  }
}

}  // namespace

std::int64_t partial_floats(const KvBatch& batch, std::int64_t head_dim, int splits) {
  return std::int64_t{batch.count} * batch.most_heads * splits * (head_dim + 2);
}

void launch_row_attention(const RowAttention& a, Stream stream) {
  const auto heads = static_cast<unsigned>(a.batch.most_heads), tasks = static_cast<unsigned>(a.batch.count);
  const auto dim = static_cast<int>(a.head_dim);
  const dim3 grid(heads, static_cast<unsigned>(a.splits > 0 ? a.splits : a.batch.most_rows), tasks);
  const RowKernel kernel = is_quantized(a.batch.format) ? coded_row_kernel(a.batch.format, dim, a.wide)
                           : a.wide                     ? row_kernel_for<NativeRows<true>>(dim)
                                                        : row_kernel_for<NativeRows<false>>(dim);
  kernel<<<grid, kThreads, 0, stream>>>(a.batch.tasks, dim, a.rows, a.splits, a.partials);
  check_launch("attend_rows");
  if (a.splits <= 1) return;
  merge_parts<<<dim3(heads, 1, tasks), 64, 0, stream>>>(a.batch.tasks, dim, a.rows, a.splits, a.partials);
  check_launch("merge_parts");
}

}  // namespace optpipe::kernels::cuda
