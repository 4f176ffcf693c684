#include "kernels/cuda/launches.hpp"
#include "kernels/cuda/status.hpp"
#include "kernels/cuda/vectors.cuh"

namespace optpipe::kernels::cuda {
namespace {

constexpr int kThreads = 128;

// A row of a task a block.
template <class Element>
__global__ void append_rows(const KvTask* tasks, int head_dim, const Half* k, const Half* v,
                            std::int64_t stride) {
  const KvTask task = tasks[blockIdx.x];
  if (static_cast<int>(blockIdx.y) >= task.rows) return;
  constexpr int kHalves = sizeof(Element) / sizeof(Half);
  const int elements = task.heads * head_dim / kHalves;
  const std::int64_t from =
      (std::int64_t{task.first_row} + blockIdx.y) * stride + std::int64_t{task.first_head} * head_dim;
  const std::int64_t to = (std::int64_t{task.position} + blockIdx.y) * task.heads * head_dim;
  const auto* new_key = reinterpret_cast<const Element*>(k + from);
  const auto* new_value = reinterpret_cast<const Element*>(v + from);
  auto* key = reinterpret_cast<Element*>(task.keys + to);
  auto* value = reinterpret_cast<Element*>(task.values + to);
  for (int i = threadIdx.x; i < elements; i += kThreads) {
    key[i] = new_key[i];
    value[i] = new_value[i];
  }
}

}  // namespace

void launch_append_kv(const KvBatch& batch, std::int64_t head_dim, const Half* k, const Half* v,
                      std::int64_t stride, bool wide, Stream stream) {
  const dim3 grid(static_cast<unsigned>(batch.count), static_cast<unsigned>(batch.most_rows));
  const int dim = static_cast<int>(head_dim);
  if (wide)
    append_rows<uint4><<<grid, kThreads, 0, stream>>>(batch.tasks, dim, k, v, stride);
  else
    append_rows<Half><<<grid, kThreads, 0, stream>>>(batch.tasks, dim, k, v, stride);
  check_launch("append_rows");
}

}  // namespace optpipe::kernels::cuda
