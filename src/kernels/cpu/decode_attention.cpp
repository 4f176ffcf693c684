#include "optpipe/kernels/decode_attention.hpp"

#include <vector>

#include "kernels/cpu/parallel.hpp"
#include "optpipe/base/check.hpp"
#include "optpipe/kernels/cpu.hpp"
#include "optpipe/kernels/quantized.hpp"

namespace optpipe::kernels {
namespace {

// Rows of one task, widened: q, k, v and out.
struct WideRows {
  float *q, *k, *v, *out;
};

}  // namespace

void decode_attention(std::span<const DecodeTask> tasks, DType rows, const RowFormat& cache, int threads) {
  const std::int64_t dim = cache.run;
  thread_local std::vector<float> memory;  // grows only
  thread_local std::vector<AttentionTask> attend;
  std::int64_t floats = 0;
  for (const DecodeTask& task : tasks) {
    OPTPIPE_CHECK(task.context > 0 && task.heads >= 0, "context {}, {} heads", task.context, task.heads);
    floats += 4 * task.heads * dim;
  }
  if (memory.size() < static_cast<std::size_t>(floats)) memory.resize(static_cast<std::size_t>(floats));
  attend.clear();
  float* at = memory.data();
  for (const DecodeTask& task : tasks) {
    const std::int64_t width = task.heads * dim;
    attend.push_back({.q = at,
                      .k = task.keys,
                      .v = task.values,
                      .out = at + 3 * width,
                      .rows = 1,
                      .context = task.context,
                      .heads = task.heads,
                      .q_stride = width,
                      .kv_stride = width,
                      .kept = task.kept});
    at += 4 * width;
  }
  const auto wide_rows = [&own = attend, dim](std::int64_t i, const DecodeTask& task) {
    const AttentionTask& wide = own[static_cast<std::size_t>(i)];
    auto* q = const_cast<float*>(wide.q);
    return WideRows{q, q + task.heads * dim, q + 2 * task.heads * dim, wide.out};
  };
  const auto count = static_cast<std::int64_t>(tasks.size());
  parallel_for(count, threads, [&](std::int64_t i) {
    const DecodeTask& task = tasks[static_cast<std::size_t>(i)];
    const WideRows wide = wide_rows(i, task);
    to_float(task.q, rows, wide.q, task.heads * dim);
    to_float(task.k, rows, wide.k, task.heads * dim);
    to_float(task.v, rows, wide.v, task.heads * dim);
    const Bytes last = static_cast<Bytes>(task.context - 1) * cache.row_bytes(task.heads);
    narrow_row(cache, task.heads, wide.k, task.keys + last);
    narrow_row(cache, task.heads, wide.v, task.values + last);
  });
  attention(attend, cache, threads);
  parallel_for(count, threads, [&](std::int64_t i) {
    const DecodeTask& task = tasks[static_cast<std::size_t>(i)];
    from_float(wide_rows(i, task).out, task.out, rows, task.heads * dim);
  });
}

}  // namespace optpipe::kernels
