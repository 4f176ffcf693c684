// A run of a model, as every command that runs one prepares it.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/options.hpp"
#include "optpipe/comm/transport.hpp"
#include "optpipe/executor/bind_ranks.hpp"
#include "optpipe/executor/stage.hpp"
#include "optpipe/metrics/memory_use.hpp"
#include "optpipe/metrics/trace.hpp"
#include "optpipe/metrics/utilization.hpp"
#include "optpipe/model/checkpoint/checkpoint.hpp"
#include "optpipe/model/slice.hpp"
#include "optpipe/planner/ledger.hpp"

namespace optpipe::cli {

// What every rank makes of the command line before memory is taken.
struct Job {
  model::ModelConfig config;
  std::unique_ptr<model::Checkpoint> weights;
  std::vector<model::StageSlice> slices;       // of all ranks
  std::optional<int> gpu;                      // of this rank
  std::shared_ptr<topology::Binding> binding;  // of this rank
  int threads = 1;                             // of this rank
};

// On this rank alone, so call it inside executor::agree. Throws UsageError, InputError.
Job prepare_job(const ModelOptions& model, const RunOptions& run, const comm::Transport& transport);

// Collective, after all ranks have prepared their job and before they take memory: decides which cores and
// NUMA nodes each rank works on, and binds it.
void bind_job(Job& job, const RunOptions& run, comm::Transport& transport);

// The policy with the format in which weights are kept: --weight-format or, without one, the checkpoint's
// own. On this rank alone, so call it inside executor::agree. Throws InputError.
memory::Policy with_weight_format(const Job& job, memory::Policy policy, const comm::Transport& transport);

// What a command adds to its stage.
struct StageRequest {
  memory::Policy policy;
  kernels::SamplingOptions sampling;
  executor::TimelineObserver on_timeline{};
};

// This rank's stage, ready to run any of `rounds`.
struct ReadyStage {
  std::unique_ptr<executor::Stage> stage;  // null where there are no rounds
  memory::Policy policy;                   // the request's, with what was left to the memory that there is
  bool uses_nccl = false;
  std::vector<executor::RankBinding> bindings;  // of all ranks, on rank 0
  std::vector<planner::Ledger> planned;         // on rank 0: of all ranks
  Bytes gpu_left_before = 0;                    // on this rank's GPU, its context made and nothing else
};

// Collective, of a job that is bound: checks that all ranks fit, links their GPUs, takes memory, reads
// weights, and tells the user of the bindings. All ranks fail together where one does.
ReadyStage set_up_stage(const Job& job, const RunOptions& run, const StageRequest& request,
                        const std::vector<memory::Round>& rounds, comm::Transport& transport);

// What this rank takes for `rounds`: arenas and the offload file.
planner::Ledger planned_memory(const Job& job, const ReadyStage& ready,
                               const std::vector<memory::Round>& rounds, const comm::Transport& transport);

// "facebook/opt-125m ...: 12 layers over 4 rank(s), 2 thread(s) each".
std::string describe(const Job& job, const ReadyStage& ready, const comm::Transport& transport);

// This rank's name in a trace.
std::string trace_label(const Job& job, const comm::Transport& transport);

// An observer that adds rounds to `trace`, which must outlive the stage; nothing where there is no trace.
executor::TimelineObserver record_into(std::optional<metrics::Trace>& trace);

// Collective: planned and measured memory of every rank; empty on ranks other than 0, and where nothing ran.
std::vector<metrics::RankMemory> gather_memory(const ReadyStage& ready, comm::Transport& transport);

// Collective: how busy every rank was; empty on ranks other than 0.
std::vector<metrics::RankUse> gather_use(const executor::RunStatistics& statistics,
                                         comm::Transport& transport);

}  // namespace optpipe::cli
