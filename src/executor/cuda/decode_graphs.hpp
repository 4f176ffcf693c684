// Decode steps of all layers as one CUDA graph: one launch instead of hundreds.
#pragma once

#include <cuda_runtime_api.h>

#include <functional>
#include <map>
#include <memory>
#include <tuple>
#include <vector>

#include "executor/cuda/cuda_ops.hpp"
#include "executor/stage/compute_runs.hpp"
#include "optpipe/memory/arena.hpp"

namespace optpipe::executor::cuda {

struct GraphDeleter {
  void operator()(cudaGraphExec_t graph) const noexcept;
};

// What a run computes with. Runs that differ only in what the tasks hold (positions, addresses) share a
// graph.
struct RunStep {
  const schedule::Step* step = nullptr;
  BatchRows rows;
  std::vector<KvStore::Segment> segments;
  std::int32_t work = 0;  // index of the hidden states' work buffer
};

// Enqueues one step's kernels on the compute stream.
using EnqueueStep = std::function<void(const RunStep&, const TaskSource&)>;

class DecodeGraphs {
 public:
  // `task_bytes`: of task lists for all graphs of a stage, on the device, and as many in pinned memory.
  DecodeGraphs(Bytes task_bytes, const TierMemory& memory, kernels::cuda::Context& context);

  // Launches the run as a graph. False, and nothing enqueued, where the run is not like those before it in
  // its place: then it is worth no graph yet (and the kernels that it needs may not be loaded, which must not
  // happen during capture). Making a graph takes as long as several launches save, so the more often graphs
  // were dropped early, as in batches whose sequences end one by one, the more like runs are waited for. The
  // host must not come here for a place before the run before it in that
  // place is complete: since a token step needs the tokens of the one before, it cannot.
  bool launch(const std::vector<RunStep>& run, const EnqueueStep& enqueue);

 private:
  // Where a run stands in its token step: micro-batch, first layer, first GPU batch, first work buffer.
  using Key = std::tuple<std::int32_t, std::int32_t, std::int32_t, std::int32_t>;
  // What is baked into a graph: for each step its kind, work buffer, rows, and the bounds of its tasks.
  using Shape = std::vector<std::array<std::int64_t, 8>>;

  struct Graph {
    Shape shape;
    std::unique_ptr<CUgraphExec_st, GraphDeleter> executable;
    std::span<std::byte> device, pinned;
    Bytes used = 0;
    int alike = 0;     // runs of this shape, one after another
    int wanted = 2;    // so many before a graph is made
    int launches = 0;  // of the executable
  };
  struct Tasks {
    std::vector<kernels::cuda::KvTask> list;
    Bytes offset = 0;
  };

  bool give_room(Graph& graph, Bytes bytes);
  void capture(Graph& graph, const std::vector<RunStep>& run,
               const std::vector<kernels::cuda::KvBatch>& batches, const EnqueueStep& enqueue);

  kernels::cuda::Context& context_;
  memory::Arena device_, pinned_;
  std::map<Key, Graph> graphs_;
};

}  // namespace optpipe::executor::cuda
