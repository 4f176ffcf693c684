#include "executor/cuda/decode_graphs.hpp"

#include <algorithm>
#include <cstring>

#include "optpipe/base/check.hpp"

namespace optpipe::executor::cuda {
namespace {

namespace gpu = kernels::cuda;
using memory::aligned;

struct CapturedDeleter {
  void operator()(cudaGraph_t graph) const noexcept { cudaGraphDestroy(graph); }
};
using Captured = std::unique_ptr<CUgraph_st, CapturedDeleter>;

Bytes list_bytes(std::size_t tasks) { return aligned(tasks * sizeof(gpu::KvTask)); }

// Project and attend of a layer use the same tasks; the other kinds use none.
bool has_tasks(const RunStep& step) { return step.step->kind == schedule::StepKind::project_qkv; }

}  // namespace

void GraphDeleter::operator()(cudaGraphExec_t graph) const noexcept {
  gpu::warn(cudaGraphExecDestroy(graph), "cudaGraphExecDestroy");
}

DecodeGraphs::DecodeGraphs(Bytes task_bytes, const TierMemory& memory, gpu::Context& context)
    : context_(context),
      device_("task lists of graphs", task_bytes, memory.device),
      pinned_("task lists of graphs", task_bytes, memory.host) {}

bool DecodeGraphs::launch(const std::vector<RunStep>& run, const EnqueueStep& enqueue) {
  const auto& first = *run.front().step;
  Graph& graph =
      graphs_[{first.micro_batch.value, first.layer.value, first.gpu_batch.value, run.front().work}];
  std::vector<std::vector<gpu::KvTask>> lists(run.size());
  Bytes bytes = 0;
  for (std::size_t i = 0; i < run.size(); ++i) {
    if (!has_tasks(run[i])) continue;
    lists[i] = kv_tasks(run[i].segments, 0, run[i].rows.rows);
    bytes += list_bytes(lists[i].size());
  }
  if (!give_room(graph, bytes)) return false;

  Shape shape;
  std::vector<gpu::KvBatch> batches;
  Bytes offset = 0;
  for (std::size_t i = 0; i < run.size(); ++i) {
    gpu::KvBatch batch = batches.empty() ? gpu::KvBatch{} : batches.back();
    if (has_tasks(run[i])) {
      std::memcpy(graph.pinned.data() + offset, lists[i].data(), lists[i].size() * sizeof(gpu::KvTask));
      batch = batch_of(lists[i], run[i].segments,
                       reinterpret_cast<const gpu::KvTask*>(graph.device.data() + offset));
      offset += list_bytes(lists[i].size());
    }
    batches.push_back(batch);
    shape.push_back({static_cast<std::int64_t>(run[i].step->kind), run[i].work, run[i].rows.rows, batch.count,
                     batch.most_rows, batch.most_context, batch.most_heads, batch.aligned});
  }
  if (shape != graph.shape) {
    constexpr int kPaysOff = 16;  // launches
    if (graph.executable) graph.wanted = graph.launches < kPaysOff ? std::min(2 * graph.wanted, kPaysOff) : 2;
    graph.shape = std::move(shape);
    graph.executable.reset();
    graph.alike = 1;
    return false;
  }
  graph.used = bytes;
  if (!graph.executable) {
    if (++graph.alike < graph.wanted) return false;
    capture(graph, run, batches, enqueue);
    graph.launches = 0;
  }
  ++graph.launches;
  check(cudaGraphLaunch(graph.executable.get(), context_.stream()), "cudaGraphLaunch");
  return true;
}

// Room is taken once, for the first run in this place, which is the one with the most sequences.
bool DecodeGraphs::give_room(Graph& graph, Bytes bytes) {
  if (graph.device.size() >= bytes) return true;
  if (!graph.device.empty() || device_.used() + aligned(bytes) > device_.capacity()) return false;
  graph.device = device_.take(bytes);
  graph.pinned = pinned_.take(bytes);
  return true;
}

void DecodeGraphs::capture(Graph& graph, const std::vector<RunStep>& run,
                           const std::vector<gpu::KvBatch>& batches, const EnqueueStep& enqueue) {
  check(cudaStreamBeginCapture(context_.stream(), cudaStreamCaptureModeThreadLocal),
        "cudaStreamBeginCapture");
  cudaGraph_t raw = nullptr;
  try {
    gpu::copy_small(context_, graph.device.data(), graph.pinned.data(), graph.used);
    for (std::size_t i = 0; i < run.size(); ++i) {
      const std::int64_t rows = run[i].rows.rows;
      enqueue(run[i], [&batches, i, rows](std::int64_t begin, std::int64_t count) {
        OPTPIPE_CHECK(begin == 0 && count == rows, "a graph's batch of {} rows is cut at {}", rows, begin);
        return batches[i];
      });
    }
  } catch (...) {
    cudaStreamEndCapture(context_.stream(),
                         &raw);  // the error that is under way says more than this one's status
    const Captured unfinished(raw);
    throw;
  }
  check(cudaStreamEndCapture(context_.stream(), &raw), "cudaStreamEndCapture");
  const Captured captured(raw);
  cudaGraphExec_t executable = nullptr;
  check(cudaGraphInstantiate(&executable, captured.get(), 0), "cudaGraphInstantiate");
  graph.executable.reset(executable);
}

}  // namespace optpipe::executor::cuda
