#include "executor/cuda/decode_graphs.hpp"

#include <algorithm>
#include <cstring>

#include "optpipe/base/check.hpp"

namespace optpipe::executor::cuda {
namespace {

namespace gpu = kernels::cuda;
using memory::aligned;

struct RawGraphDeleter {
  void operator()(cudaGraph_t graph) const noexcept { cudaGraphDestroy(graph); }
};
using RawGraph = std::unique_ptr<CUgraph_st, RawGraphDeleter>;

Bytes list_bytes(std::size_t tasks) { return aligned(tasks * sizeof(gpu::KvTask)); }

// Project and attend of a layer use the same tasks; the other kinds use none.
bool has_tasks(const RunStep& step) { return step.step->kind == schedule::StepKind::project_qkv; }

}  // namespace

void GraphDeleter::operator()(cudaGraphExec_t graph) const noexcept {
  gpu::warn(cudaGraphExecDestroy(graph), "cudaGraphExecDestroy");
}

DecodeGraphs::DecodeGraphs(Bytes task_bytes, std::int64_t most_positions, const TierMemory& memory,
                           gpu::Context& context)
    : most_positions_(most_positions),
      context_(context),
      device_("task lists of graphs", task_bytes, memory.device),
      pinned_("task lists of graphs", task_bytes, memory.host) {}

bool DecodeGraphs::launch(std::vector<RunStep> run, std::int64_t most_rows, const EnqueueStep& enqueue) {
  const auto& first = *run.front().step;
  Place& place =
      places_[{first.micro_batch.value, first.layer.value, first.gpu_batch.value, run.front().work}];
  std::vector<std::vector<gpu::KvTask>> lists(run.size());
  Bytes bytes = 0, most_bytes = 0;
  for (std::size_t i = 0; i < run.size(); ++i) {
    std::int64_t& rows = run[i].rows.rows;
    const std::int64_t padded = padded_rows(rows, most_rows, gpu::next_row_class);
    if (has_tasks(run[i])) {
      lists[i] = kv_tasks(run[i].segments, 0, rows);
      const auto of_a_row = static_cast<std::int64_t>(lists[i].size()) / rows;  // parts of its heads
      lists[i].resize(lists[i].size() + static_cast<std::size_t>(of_a_row * (padded - rows)));
      bytes += list_bytes(lists[i].size());
      most_bytes += list_bytes(static_cast<std::size_t>(of_a_row * std::max(padded, most_rows)));
    }
    rows = padded;
  }
  if (!give_room(place, std::max(bytes, most_bytes))) return false;

  RunShape shape;
  std::vector<gpu::KvBatch> batches;
  Bytes offset = 0;
  for (std::size_t i = 0; i < run.size(); ++i) {
    gpu::KvBatch batch = batches.empty() ? gpu::KvBatch{} : batches.back();
    if (has_tasks(run[i])) {
      std::memcpy(place.pinned.data() + offset, lists[i].data(), lists[i].size() * sizeof(gpu::KvTask));
      batch = batch_of(lists[i], run[i].segments,
                       reinterpret_cast<const gpu::KvTask*>(place.device.data() + offset), most_positions_);
      offset += list_bytes(lists[i].size());
    }
    batches.push_back(batch);
    shape.push_back({static_cast<std::int64_t>(run[i].step->kind), run[i].work, run[i].rows.rows, batch.count,
                     batch.most_rows, batch.most_context, batch.most_heads, batch.aligned()});
  }
  Executable* executable = place.shapes.find(shape);
  if (executable == nullptr) return false;
  if (!*executable) *executable = capture(place, bytes, run, batches, enqueue);
  check(cudaGraphLaunch(executable->get(), context_.stream()), "cudaGraphLaunch");
  return true;
}

bool DecodeGraphs::give_room(Place& place, Bytes bytes) {
  if (place.device.size() >= bytes) return true;
  if (!place.device.empty() || device_.used() + aligned(bytes) > device_.capacity()) return false;
  place.device = device_.take(bytes);
  place.pinned = pinned_.take(bytes);
  return true;
}

DecodeGraphs::Executable DecodeGraphs::capture(const Place& place, Bytes list_bytes,
                                               const std::vector<RunStep>& run,
                                               const std::vector<gpu::KvBatch>& batches,
                                               const EnqueueStep& enqueue) {
  check(cudaStreamBeginCapture(context_.stream(), cudaStreamCaptureModeThreadLocal),
        "cudaStreamBeginCapture");
  cudaGraph_t raw = nullptr;
  try {
    gpu::copy_small(context_, place.device.data(), place.pinned.data(), list_bytes);
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
    const RawGraph unfinished(raw);
    throw;
  }
  check(cudaStreamEndCapture(context_.stream(), &raw), "cudaStreamEndCapture");
  const RawGraph graph(raw);
  cudaGraphExec_t executable = nullptr;
  check(cudaGraphInstantiate(&executable, graph.get(), 0), "cudaGraphInstantiate");
  return Executable(executable);
}

}  // namespace optpipe::executor::cuda
