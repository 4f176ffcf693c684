#include "cli/job.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "cli/binding_report.hpp"
#include "cli/end_all_ranks.hpp"
#include "cli/model_source.hpp"
#include "cli/preflight.hpp"
#include "cli/rank_setup.hpp"
#include "optpipe/base/check.hpp"
#include "optpipe/comm/device_link.hpp"
#include "optpipe/executor/device_links.hpp"
#include "optpipe/executor/pipeline.hpp"

namespace optpipe::cli {
namespace {

const model::StageSlice& slice_of(const Job& job, const comm::Transport& transport) {
  return job.slices[static_cast<std::size_t>(transport.rank().value)];
}

// What went wrong while a stage was made ready, and where. Of other ranks than the first, agree() says which
// it was.
std::string located(const Error& error, const model::StageSlice& slice, const comm::Transport& transport) {
  const bool one_of_several = transport.is_first() && transport.size() > 1;
  return fmt::format("{}{}; while the stage of {} was made ready",
                     one_of_several ? fmt::format("rank 0 on {}: ", transport.node().host) : "", error.what(),
                     to_string(slice));
}

std::unique_ptr<executor::Stage> make_stage(const Job& job, const executor::StageOptions& options,
                                            const std::vector<memory::Round>& rounds,
                                            comm::Transport& transport) {
  const auto& slice = slice_of(job, transport);
  try {
    if (job.gpu)
      return executor::make_cuda_stage(*job.gpu, job.config, slice, *job.weights, rounds, options, transport,
                                       end_all_ranks(transport));
    return executor::make_cpu_stage(job.config, slice, *job.weights, rounds, options, transport,
                                    end_all_ranks(transport));
  } catch (const SystemError& error) {
    throw SystemError(located(error, slice, transport));
  } catch (const CapacityError& error) {
    throw CapacityError(located(error, slice, transport));
  }
}

}  // namespace

Job prepare_job(const ModelOptions& model, const RunOptions& run, const comm::Transport& transport) {
  Job job;
  job.gpu = choose_gpu(run, transport.node());
  job.config = read_config(model);
  job.weights = open_weights(model, job.config);
  job.slices = cut_model(run, job.config, transport.size());
  return job;
}

memory::Policy with_weight_format(const Job& job, memory::Policy policy, const comm::Transport& transport) {
  policy.weight_format =
      executor::weight_format(job.config, slice_of(job, transport), *job.weights, policy.weight_format);
  return policy;
}

void bind_job(Job& job, const RunOptions& run, comm::Transport& transport) {
  job.binding = executor::bind_rank(transport, job.gpu, bind_mode(run));
  job.threads = thread_count(run, job.binding->placement());
}

ReadyStage set_up_stage(const Job& job, const RunOptions& run, const StageRequest& request,
                        const std::vector<memory::Round>& rounds, comm::Transport& transport) {
  OPTPIPE_CHECK(job.binding != nullptr, "a stage of a job that is not bound");
  ReadyStage ready{.policy = request.policy};
  if (rounds.empty()) return ready;
  executor::StageOptions options{request.policy, request.sampling, offload_directory(run), job.threads};
  options.verify_offload = run.verify_offload;
  options.on_timeline = request.on_timeline;
  options.binding = job.binding;
  ready.uses_nccl = executor::decide_nccl(transport, job.gpu, comm_device(run));
  ready.planned = preflight(job, run, ready.policy, rounds, ready.uses_nccl, transport);
  options.policy = ready.policy;
  if (job.gpu) ready.gpu_left_before = executor::gpu_memory_left(*job.gpu);
  transport.barrier();  // ranks that share the GPU begin to take memory only now
  if (ready.uses_nccl)
    options.device_link = comm::connect_nccl(transport, comm::Seconds(run.comm_timeout_s),
                                             request.policy.stages == memory::Stages::looped);
  executor::agree(transport, [&] { ready.stage = make_stage(job, options, rounds, transport); });
  ready.bindings = executor::gather_bindings(transport, *job.binding, job.gpu, job.threads);
  log_bindings(run.bind, ready.bindings);
  return ready;
}

planner::Ledger planned_memory(const Job& job, const ReadyStage& ready,
                               const std::vector<memory::Round>& rounds, const comm::Transport& transport) {
  const auto& slice = slice_of(job, transport);
  const DType weights = job.gpu ? DType::f16 : executor::weight_dtype(job.config, slice, *job.weights);
  const auto backend = job.gpu ? planner::Backend::cuda : planner::Backend::cpu;
  return planner::arenas(planner::plan_stage(
      {job.config, slice, weights, rounds, ready.policy, transport.size(), backend, ready.uses_nccl}));
}

std::string describe(const Job& job, const ReadyStage& ready, const comm::Transport& transport) {
  return fmt::format("{}: {} layers over {} rank(s){}, {} thread(s) each", job.weights->describe(),
                     job.config.layers, transport.size(), ready.uses_nccl ? " linked by NCCL" : "",
                     job.threads);
}

std::string trace_label(const Job& job, const comm::Transport& transport) {
  const auto& slice = slice_of(job, transport);
  return fmt::format("rank {} on {}, {}, {}", transport.rank().value, transport.node().host,
                     job.gpu ? fmt::format("GPU {}", *job.gpu) : "CPU", to_string(slice));
}

executor::TimelineObserver record_into(std::optional<metrics::Trace>& trace) {
  if (!trace) return {};
  return [&trace](const auto& program, auto times, auto round_begin) {
    trace->add_round(program, times, std::chrono::duration<double>(round_begin.time_since_epoch()).count());
  };
}

std::vector<metrics::RankMemory> gather_memory(const ReadyStage& ready, comm::Transport& transport) {
  if (!ready.stage) return {};
  const executor::MemoryPeak peak = ready.stage->memory_peak();
  metrics::MeasuredMemory own{.gpu_arenas = peak.gpu_arenas,
                              .pinned = peak.pinned,
                              .host = memory::process_memory().peak,
                              .disk = peak.disk};
  if (ready.gpu_left_before > 0)
    own.gpu = planner::runtime::kCudaContext + ready.gpu_left_before -
              std::min(ready.gpu_left_before, peak.least_gpu_free);
  return metrics::gather_memory(transport, ready.planned, own);
}

std::vector<metrics::RankUse> gather_use(const executor::RunStatistics& statistics,
                                         comm::Transport& transport) {
  return metrics::gather_use(
      transport, {transport.node().host, statistics.use, statistics.disk_read, statistics.disk_written});
}

}  // namespace optpipe::cli
