// The CUDA executor. Every queue has its thread; the threads of compute, load, store and recv enqueue on a
// stream each and go on, and order themselves against other queues by events. Threads of disk and send wait
// for events on the host. Nothing in the token loop waits for a whole stream or device, but for sampling,
// whose rare ties the host settles. Decode steps that wait for nothing but each other go as one graph.

#include <fmt/format.h>
#include <nvtx3/nvToolsExt.h>

#include <algorithm>

#include "executor/cuda/cuda_ops.hpp"
#include "executor/cuda/decode_graphs.hpp"
#include "executor/cuda/device_clock.hpp"
#include "executor/cuda/hidden_link.hpp"
#include "executor/cuda/queue_events.hpp"
#include "executor/stage/base_stage.hpp"
#include "optpipe/base/check.hpp"
#include "optpipe/base/log.hpp"

namespace optpipe::executor {
namespace cuda {
namespace {

using schedule::BufferKind;
using schedule::kQueues;
using schedule::Program;
using schedule::Queue;
using schedule::Step;
using schedule::StepKind;

constexpr bool is_on_gpu(Queue queue) {
  return queue == Queue::compute || queue == Queue::load || queue == Queue::store || queue == Queue::recv;
}

// Queues whose steps are timed by events. A receive is timed by the host: most of it is the network.
constexpr bool is_timed_by_events(Queue queue) { return is_on_gpu(queue) && queue != Queue::recv; }

// What a profiler shows around the calls of a step.
class ProfilerRange {
 public:
  explicit ProfilerRange(const char* name) { nvtxRangePushA(name); }
  ~ProfilerRange() { nvtxRangePop(); }
  ProfilerRange(const ProfilerRange&) = delete;
  ProfilerRange& operator=(const ProfilerRange&) = delete;
};

// One queue's stream and what belongs to it. Queues of the host have a stream too, for copies of their own.
struct Lane {
  Lane() : stream(make_stream()), events(stream.get()), copier(stream.get()) {}
  Stream stream;
  QueueEvents events;
  StreamCopier copier;
};

// Made before the stage that uses them, and taken down after it.
struct GpuMemory {
  GpuMemory(int index, const StageOptions& options)
      : device(index), pinned(options.threads, options.binding) {
    use_device(index);
    for (auto& lane : lanes) lane = std::make_unique<Lane>();
  }
  Lane& lane(Queue queue) { return *lanes[static_cast<std::size_t>(queue)]; }

  int device;
  DeviceMemory gpu;
  PinnedPages pinned;
  std::array<std::unique_ptr<Lane>, kQueues> lanes;
};

class CudaStage final : private GpuMemory, public BaseStage {
 public:
  CudaStage(const StageInputs& inputs, planner::StagePlan plan, int index)
      : GpuMemory(index, inputs.options),
        BaseStage(inputs, std::move(plan), {gpu, pinned}, lane(Queue::load).copier),
        ops_(config_, slice_, weights_, plan_, {gpu, pinned}, lane(Queue::compute).stream.get()),
        tokens_("token ids", plan_.needs.token_bytes, pinned),
        graphs_(plan_.needs.graph_bytes, plan_.bounds.positions, {gpu, pinned}, ops_.context()),
        link_(inputs.options.device_link),
        clock_(lane(Queue::compute).stream.get()) {
    if (!link_)
      link_ = std::make_shared<HiddenLink>(transport_, slice_.sends_hidden(), slice_.receives_hidden(),
                                           plan_.needs.link_bytes, pinned);
    lane(Queue::load).copier.finish();
    const bool moves = plan_.weights.layers_move;
    ops_.warm_up(moves ? 0 : -1, moves ? weights_.slot(0) : std::span<std::byte>{}, plan_.bounds.rows,
                 plan_.bounds.sequences, static_cast<std::size_t>(slice_.layers));
  }

 private:
  std::int64_t most_batches() const { return plan_.bounds.micro_batches * plan_.bounds.gpu_batches; }

  void begin_round(const Program& program) override {
    use_device(device);
    first_step_ = program.steps.data();
    clock_.start([&] { return recorder_.now(); });
    for (auto& each : lanes) each->events.start_round(clock_.zero());
    runs_ = find_compute_runs(program);
    next_run_ = 0;
    covered_ = StepId{};
    tokens_.reset();
    token_buffers_.clear();
    for (std::int64_t i = 0; i < most_batches(); ++i)
      token_buffers_.push_back(tokens_.take(planner::cuda::token_buffer_bytes(plan_.bounds)));
    sampled_.assign(token_buffers_.size(), StepId{});
  }

  void end_round(const Program& program) override {
    least_free_ = std::min(least_free_, gpu_memory_left(device));
    std::array<std::vector<schedule::StepTime>, kQueues> times;
    for (std::size_t q = 0; q < kQueues; ++q) times[q] = lanes[q]->events.finish_round();
    clock_.finish([&] { return recorder_.now(); });
    for (std::size_t q = 0; q < kQueues; ++q) {
      const auto queue = static_cast<Queue>(q);
      for (const auto& time : times[q])
        if (is_timed_by_events(queue) && program.step(time.step).kind != StepKind::accept)
          recorder_.add(queue,
                        {time.step, clock_.to_host(time.begin_s), clock_.to_host(time.end_s), time.last});
    }
  }

  bool is_timed_on_device(const Step& step) const override { return is_timed_by_events(step.queue); }

  void do_step(const Program& program, const Step& step) override {
    use_device(device);
    const StepId id(&step - first_step_);
    if (step.queue == Queue::compute && id <= covered_) return;  // ran in a graph
    const ProfilerRange range(name_of(step.kind));
    Lane& own = lane(step.queue);
    const bool on_gpu = is_on_gpu(step.queue);
    if (on_gpu) own.events.throttle();
    for (std::size_t q = 0; q < kQueues; ++q) {
      const auto queue = static_cast<Queue>(q);
      if (!step.after[q].valid() || !is_on_gpu(queue))
        continue;  // steps of the host are complete once they are passed
      if (on_gpu)
        lane(queue).events.make_wait(own.stream.get(), step.after[q]);
      else
        lane(queue).events.wait(step.after[q]);
    }
    if (!on_gpu) {
      recorder_.start(step.queue);  // waiting for the GPU was no work of this queue's
      return carry_out(program, step, id, own);
    }
    own.events.begin();
    const StepId last = launch_graph(program, id);
    if (last == StepId{}) carry_out(program, step, id, own);
    own.events.record(id, last == StepId{} ? id : last);
    if (!options_.policy.overlap) own.events.wait(id);
  }

  // The last step of the run that begins here and went as one; none where there is none.
  StepId launch_graph(const Program& program, StepId id) {
    if (program.step(id).queue != Queue::compute) return {};
    while (next_run_ < runs_.size() && runs_[next_run_].first < id) ++next_run_;
    if (next_run_ == runs_.size() || runs_[next_run_].first != id) return {};
    const ComputeRun& run = runs_[next_run_];
    const auto is_over = [&](StepId each) { return batches_.rows(program.step(each)).rows == 0; };
    if (std::ranges::all_of(run.steps, is_over))
      return covered_ = run.last();  // nothing to do in any of them
    std::vector<RunStep> steps;
    std::int64_t most_rows = plan_.bounds.rows;
    for (const StepId each : run.steps) {
      const Step& step = program.step(each);
      const BatchRows rows = batches_.rows(step);
      most_rows = std::min(most_rows, static_cast<std::int64_t>(batches_.places(step)));
      if (rows.rows == 0 || rows.prompt_rows > 0 || !CudaOps::are_together(rows)) return {};
      if (leaves_rows_to_host(program, step)) return {};
      // The next time the layer may be in another slot, and the graph would read this one.
      if (program.index_of(step, BufferKind::weight_slot) >= 0) return {};
      steps.push_back({&step, rows, {}, program.index_of(step, BufferKind::hidden_work)});
      if (step.kind == StepKind::project_qkv)
        steps.back().segments = kv_.segments(place(program, step), rows);
    }
    const auto enqueue = [&](const RunStep& each, const TaskSource& tasks) {
      compute_layer(program, *each.step, each.rows, tasks);
    };
    // A graph widens what it uses, whatever was there when it was made, and leaves what it used last.
    ops_.forget_widened();
    const bool launched = graphs_.launch(std::move(steps), most_rows, enqueue);
    ops_.forget_widened();
    if (!launched) return {};
    return covered_ = run.last();
  }

  void carry_out(const Program& program, const Step& step, StepId id, Lane& own) {
    if (run_disk_step(program, step) || run_copy_step(program, step, own.copier)) return;
    if (run_host_step(program, step)) return;
    const auto buffer = [&](BufferKind kind) { return program.index_of(step, kind); };
    const auto work = [&] { return reinterpret_cast<Half*>(hidden_.work(buffer(BufferKind::hidden_work))); };
    switch (step.kind) {
      case StepKind::recv_hidden:
        return recv_hidden(program, step, work());
      case StepKind::recv_tokens:
        return recv_tokens(step);
      case StepKind::send_tokens:
        return fetch_tokens(step), send_tokens(step);
      case StepKind::accept:
        if (slice_.head) wait_for_sample(step), fetch_tokens(step);
        return accept(step);
      default:
        break;
    }
    const BatchRows rows = batches_.rows(step);
    if (step.kind == StepKind::send_hidden) return send_hidden(step, rows, work());
    if (step.kind == StepKind::sample) {
      batches_.room_for_tokens(step, rows);
      sampled_[batch_index(step)] = id;
    }
    if (rows.rows == 0) return;  // every sequence of the batch is over
    if (step.kind == StepKind::fetch_qkv)
      return ops_.fetch_qkv(own.stream.get(), host_attention_.qkv(buffer(BufferKind::host_rows)),
                            buffer(BufferKind::attention), host_attention_.qkv_bytes(rows));
    ops_.next_step();
    switch (step.kind) {
      case StepKind::embed:
        return ops_.embed(rows, token_ids(step, rows), work());
      case StepKind::sample:
        return ops_.sample(group(step), buffer(BufferKind::weight_slot), rows, work(), options_,
                           token_buffer(step, rows));
      case StepKind::return_attention: {
        const auto segments = kv_.cpu_segments(place(program, step), rows);
        return ops_.return_attention(rows, ops_.upload(segments),
                                     host_attention_.output(buffer(BufferKind::host_rows)),
                                     buffer(BufferKind::attention));
      }
      default: {
        std::vector<KvStore::Segment> segments;
        if (step.kind != StepKind::feed_forward && !leaves_rows_to_host(program, step))
          segments = kv_.segments(place(program, step), rows);
        return compute_layer(program, step, rows, ops_.upload(segments));
      }
    }
  }

  // A projection behind which CPU cores attend stores no keys and values, and has no slot for them.
  static bool leaves_rows_to_host(const Program& program, const Step& step) {
    return step.kind == StepKind::project_qkv && program.index_of(step, BufferKind::attention) != 0;
  }

  void compute_layer(const Program& program, const Step& step, const BatchRows& rows,
                     const TaskSource& tasks) {
    const auto buffer = [&](BufferKind kind) { return program.index_of(step, kind); };
    const auto work = [&] { return reinterpret_cast<Half*>(hidden_.work(buffer(BufferKind::hidden_work))); };
    const std::int32_t weight_slot = buffer(BufferKind::weight_slot),
                       attention = buffer(BufferKind::attention);
    switch (step.kind) {
      case StepKind::project_qkv:
        return ops_.project_qkv(group(step), weight_slot, rows, work(), tasks, attention);
      case StepKind::attend:
        return ops_.attend(group(step), weight_slot, rows, tasks, attention,
                           options_.policy.attention_sparsity);
      case StepKind::feed_forward:
        return ops_.feed_forward(group(step), weight_slot, rows, work(), attention);
      default:
        OPTPIPE_CHECK(false, "no work for step {}", name_of(step.kind));
    }
  }

  std::size_t batch_index(const Step& step) const {
    return static_cast<std::size_t>(step.micro_batch.value * options_.policy.gpu_batches +
                                    step.gpu_batch.value);
  }
  // Of the step's part of its GPU batch.
  std::int32_t* token_buffer(const Step& step, const BatchRows& rows) {
    const auto first =
        planner::cuda::first_token_of_part(static_cast<std::int64_t>(rows.first_span), step.part);
    return reinterpret_cast<std::int32_t*>(token_buffers_[batch_index(step)].data()) + first;
  }

  void wait_for_sample(const Step& step) { lane(Queue::compute).events.wait(sampled_[batch_index(step)]); }

  // Tokens are in pinned memory by now.
  void fetch_tokens(const Step& step) {
    auto& tokens = batches_.tokens(step);
    Step part = step;
    part.parts = static_cast<std::int16_t>(step.token_step.value == 0 ? plan_.prefill.parts : 1);
    for (part.part = 0; part.part < part.parts; ++part.part) {
      const BatchRows rows = batches_.rows(part);
      std::copy_n(token_buffer(part, rows), rows.spans.size(),
                  tokens.begin() + static_cast<std::ptrdiff_t>(rows.first_span));
    }
  }

  MemoryPeak memory_peak() const override {
    MemoryPeak peak = BaseStage::memory_peak();
    peak.least_gpu_free = least_free_;
    peak.gpu_arenas = gpu.peak();
    peak.pinned = pinned.pinned();
    return peak;
  }

  Bytes hidden_bytes(const BatchRows& rows) const {
    return static_cast<Bytes>(rows.rows * config_.hidden) * sizeof(Half);
  }

  void send_hidden(const Step& step, const BatchRows& rows, const Half* work) {
    send_occupants(step);
    if (rows.rows > 0)
      link_->send(reinterpret_cast<const std::byte*>(work), hidden_bytes(rows),
                  lane(Queue::send).stream.get());
  }

  void recv_hidden(const Program& program, const Step& step, Half* work) {
    recv_occupants(program, step);
    const BatchRows rows = batches_.rows(step);
    if (rows.rows > 0)
      link_->recv(reinterpret_cast<std::byte*>(work), hidden_bytes(rows), lane(Queue::recv).stream.get());
  }

  CudaOps ops_;
  memory::Arena tokens_;
  std::vector<std::span<std::byte>> token_buffers_;  // [micro-batch, GPU batch], pinned
  std::vector<StepId> sampled_;  // [micro-batch, GPU batch]: newest sample step; compute thread only
  DecodeGraphs graphs_;
  std::shared_ptr<comm::DeviceLink> link_;
  DeviceClock clock_;
  Bytes least_free_ = gpu_memory_left(device);
  const Step* first_step_ = nullptr;

  // Of the round; compute thread only.
  std::vector<ComputeRun> runs_;
  std::size_t next_run_ = 0;
  StepId covered_;  // steps up to this one have been enqueued as part of a run
};

}  // namespace
}  // namespace cuda

int cuda_devices() { return kernels::cuda::device_count(); }
bool built_with_cuda() { return true; }

void use_gpu(int device) { cuda::use_device(device); }

Bytes gpu_memory_left(int device) {
  cuda::use_device(device);
  std::size_t left = 0, total = 0;
  cuda::check(cudaMemGetInfo(&left, &total), "cudaMemGetInfo");
  return left;
}

GpuName gpu_name(int device) {
  cudaDeviceProp properties{};
  cuda::check(cudaGetDeviceProperties(&properties, device), "cudaGetDeviceProperties");
  std::array<char, 32> bus{};
  cuda::check(cudaDeviceGetPCIBusId(bus.data(), static_cast<int>(bus.size()), device),
              "cudaDeviceGetPCIBusId");
  return {std::string(properties.uuid.bytes, sizeof properties.uuid.bytes), bus.data()};
}

std::unique_ptr<Stage> make_cuda_stage(int device, const model::ModelConfig& config,
                                       const model::StageSlice& slice, const model::Checkpoint& checkpoint,
                                       const std::vector<memory::Round>& rounds, const StageOptions& options,
                                       comm::Transport& transport, FailureHandler on_failure) {
  if (device < 0 || device >= cuda_devices())
    throw UsageError(fmt::format("there is no GPU {}: this process sees {}", device, cuda_devices()));
  if (config.head_dim() > 256)
    throw UsageError(
        fmt::format("head dimension {} is beyond the GPU's 256: use --device cpu", config.head_dim()));
  StageOptions own = options;
  own.policy.weight_format = weight_format(config, slice, checkpoint, options.policy.weight_format);
  return std::make_unique<cuda::CudaStage>(
      StageInputs{config, slice, checkpoint, own, transport, std::move(on_failure)},
      planner::plan_stage({config, slice, DType::f16, rounds, own.policy, transport.size(),
                           planner::Backend::cuda, options.device_link != nullptr}),
      device);
}

}  // namespace optpipe::executor
