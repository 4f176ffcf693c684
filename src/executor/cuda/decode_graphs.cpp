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

// The largest number of rows for which products run as for `rows`.
std::int64_t class_of(std::int64_t rows) {
  std::int64_t largest = 1;
  while (largest < rows) largest = gpu::next_row_class(largest);
  return largest;
}

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

bool DecodeGraphs::launch(std::vector<RunStep> run, std::int64_t most_rows, const EnqueueStep& enqueue) {
  const auto& first = *run.front().step;
  Place& place =
      places_[{first.micro_batch.value, first.layer.value, first.gpu_batch.value, run.front().work}];
  std::vector<std::vector<gpu::KvTask>> lists(run.size());
  Bytes bytes = 0, most_bytes = 0;
  for (std::size_t i = 0; i < run.size(); ++i) {
    std::int64_t& rows = run[i].rows.rows;
    const std::int64_t padded = std::max(rows, std::min(class_of(rows), most_rows));
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

  Shape shape;
  std::vector<gpu::KvBatch> batches;
  Bytes offset = 0;
  for (std::size_t i = 0; i < run.size(); ++i) {
    gpu::KvBatch batch = batches.empty() ? gpu::KvBatch{} : batches.back();
    if (has_tasks(run[i])) {
      std::memcpy(place.pinned.data() + offset, lists[i].data(), lists[i].size() * sizeof(gpu::KvTask));
      batch = batch_of(lists[i], run[i].segments,
                       reinterpret_cast<const gpu::KvTask*>(place.device.data() + offset));
      batch.most_context = place.most_context = std::max(place.most_context, batch.most_context);
      offset += list_bytes(lists[i].size());
    }
    batches.push_back(batch);
    shape.push_back({static_cast<std::int64_t>(run[i].step->kind), run[i].work, run[i].rows.rows, batch.count,
                     batch.most_rows, batch.most_context, batch.most_heads, batch.aligned});
  }
  Captured* captured = find(place, std::move(shape));
  if (captured == nullptr) return false;
  if (!captured->executable) capture(place, bytes, *captured, run, batches, enqueue);
  check(cudaGraphLaunch(captured->executable.get(), context_.stream()), "cudaGraphLaunch");
  return true;
}

// None, and remembered, where the shape is new.
DecodeGraphs::Captured* DecodeGraphs::find(Place& place, Shape shape) {
  constexpr std::size_t kMostShapes = 4;  // a graph holds device memory of its own
  auto& shapes = place.shapes;
  const auto found = std::ranges::find(shapes, shape, &Captured::shape);
  if (found == shapes.end()) {
    if (shapes.size() == kMostShapes) shapes.erase(shapes.begin());
    shapes.push_back({std::move(shape), {}});
    return nullptr;
  }
  std::rotate(found, found + 1, shapes.end());
  return &shapes.back();
}

bool DecodeGraphs::give_room(Place& place, Bytes bytes) {
  if (place.device.size() >= bytes) return true;
  if (!place.device.empty() || device_.used() + aligned(bytes) > device_.capacity()) return false;
  place.device = device_.take(bytes);
  place.pinned = pinned_.take(bytes);
  return true;
}

void DecodeGraphs::capture(const Place& place, Bytes list_bytes, Captured& captured,
                           const std::vector<RunStep>& run, const std::vector<gpu::KvBatch>& batches,
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
  captured.executable.reset(executable);
}

}  // namespace optpipe::executor::cuda
