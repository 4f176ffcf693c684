#include "executor/cuda/kv_tasks.hpp"

#include <algorithm>

namespace optpipe::executor::cuda {

namespace gpu = kernels::cuda;

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
                      const gpu::KvTask* uploaded, std::int64_t most_positions) {
  gpu::KvBatch batch = gpu::batch_of(tasks, uploaded);
  if (!segments.empty()) batch.format = segments.front().format;
  batch.most_context = std::max(batch.most_context, static_cast<std::int32_t>(most_positions));
  return batch;
}

}  // namespace optpipe::executor::cuda
