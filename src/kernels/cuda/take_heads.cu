#include "kernels/cuda/launches.hpp"
#include "kernels/cuda/status.hpp"

namespace optpipe::kernels::cuda {
namespace {

constexpr int kThreads = 256;

// A task's only row, or a part of it, a block: reads of host memory take long, so all of them go out at once.
template <class Element>
__global__ void take_rows(const KvTask* tasks, int head_dim, const Half* from, Half* to,
                          std::int64_t stride) {
  const KvTask task = tasks[blockIdx.x];
  if (task.rows == 0) return;
  constexpr int kHalves = sizeof(Element) / sizeof(Half);
  const int elements = task.heads * head_dim / kHalves;
  const std::int64_t at = task.first_row * stride + std::int64_t{task.first_head} * head_dim;
  const auto* source = reinterpret_cast<const Element*>(from + at);
  auto* target = reinterpret_cast<Element*>(to + at);
  for (int i = static_cast<int>(blockIdx.y) * kThreads + static_cast<int>(threadIdx.x); i < elements;
       i += static_cast<int>(gridDim.y) * kThreads)
    target[i] = source[i];
}

}  // namespace

void launch_take_heads(const KvBatch& batch, std::int64_t head_dim, const Half* from, Half* to,
                       std::int64_t stride, bool wide, Stream stream) {
  const std::int64_t words = batch.most_heads * head_dim / (wide ? 8 : 1);
  const std::int64_t parts = (words + kThreads - 1) / kThreads;
  const dim3 grid(static_cast<unsigned>(batch.count), static_cast<unsigned>(parts < 64 ? parts : 64));
  const int dim = static_cast<int>(head_dim);
  if (wide)
    take_rows<uint4><<<grid, kThreads, 0, stream>>>(batch.tasks, dim, from, to, stride);
  else
    take_rows<Half><<<grid, kThreads, 0, stream>>>(batch.tasks, dim, from, to, stride);
  check_launch("take_rows");
}

}  // namespace optpipe::kernels::cuda
