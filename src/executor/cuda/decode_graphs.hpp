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
#include "executor/stage/run_shapes.hpp"
#include "optpipe/memory/arena.hpp"

namespace optpipe::executor::cuda {

struct GraphDeleter {
  void operator()(cudaGraphExec_t graph) const noexcept;
};

// What a run computes with. Runs that differ only in what the tasks hold (positions, addresses) share a
// graph, and so do runs of fewer sequences (DecodeGraphs::launch).
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
  // `most_positions`: of any sequence.
  DecodeGraphs(Bytes task_bytes, std::int64_t most_positions, const TierMemory& memory,
               kernels::cuda::Context& context);

  // Launches the run as a graph. False, and nothing enqueued, where no run of its shape was there before in
  // its place: then it is worth no graph yet (and the kernels that it needs may not be loaded, which must not
  // happen during capture). A graph computes as many rows as the products' class of rows has
  // (kernels::cuda::next_row_class), but no more than `most_rows`, for which buffers have room: sequences
  // that end or begin leave it as it is. What the rows that no sequence has hold matters to nobody: rows do
  // not depend on each other, and tasks of no rows do nothing. The host must not come here for a place before
  // the run before it in that place is complete: since a token step needs the tokens of the one before, it
  // cannot.
  bool launch(std::vector<RunStep> run, std::int64_t most_rows, const EnqueueStep& enqueue);

 private:
  // Where a run stands in its token step: micro-batch, first layer, first GPU batch, first work buffer.
  using Key = std::tuple<std::int32_t, std::int32_t, std::int32_t, std::int32_t>;
  using Executable = std::unique_ptr<CUgraphExec_st, GraphDeleter>;
  struct Place {
    // By what is baked in: for each step its kind, work buffer, rows, and the bounds of its tasks.
    RecentShapes<Executable> shapes;
    std::span<std::byte> device, pinned;
  };

  bool give_room(Place& place, Bytes bytes);
  Executable capture(const Place& place, Bytes list_bytes, const std::vector<RunStep>& run,
                     const std::vector<kernels::cuda::KvBatch>& batches, const EnqueueStep& enqueue);

  std::int64_t most_positions_;
  kernels::cuda::Context& context_;
  memory::Arena device_, pinned_;
  std::map<Key, Place> places_;
};

}  // namespace optpipe::executor::cuda
