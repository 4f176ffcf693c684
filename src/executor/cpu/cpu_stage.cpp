// The CPU executor: does the work of each step of a program with this rank's threads.

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "executor/cpu/layer_ops.hpp"
#include "executor/stage/base_stage.hpp"
#include "optpipe/base/check.hpp"

namespace optpipe::executor {
namespace {

using comm::Channel;
using schedule::BufferKind;
using schedule::Program;
using schedule::Step;
using schedule::StepKind;

class MemoryCopier final : public Copier {
 public:
  void copy(void* to, const void* from, Bytes bytes) override { std::memcpy(to, from, bytes); }
};

// Made before the stage that uses them.
struct CpuMemory {
  explicit CpuMemory(const StageOptions& options) : pages(options.threads, options.binding) {}
  memory::HostPages pages;
  MemoryCopier copier;
};

class CpuStage final : private CpuMemory, public BaseStage {
 public:
  CpuStage(const StageInputs& inputs, planner::StagePlan plan)
      : CpuMemory(inputs.options),
        BaseStage(inputs, std::move(plan), {pages, pages}, copier),
        ops_(config_, slice_, weights_, plan_, pages, inputs.options.threads) {}

 private:
  void do_step(const Program& program, const Step& step) override {
    if (run_disk_step(program, step) || run_copy_step(program, step, copier)) return;
    if (run_host_step(program, step)) return;
    const auto buffer = [&](BufferKind kind) { return program.index_of(step, kind); };
    const auto work = [&] { return reinterpret_cast<float*>(hidden_.work(buffer(BufferKind::hidden_work))); };
    const auto weight_slot = [&] { return buffer(BufferKind::weight_slot); };
    switch (step.kind) {
      case StepKind::recv_hidden:
        return recv_hidden(program, step, work());
      case StepKind::recv_tokens:
        return recv_tokens(step);
      case StepKind::send_tokens:
        return send_tokens(step);
      case StepKind::accept:
        return accept(step);
      default:
        break;
    }
    const BatchRows rows = batches_.rows(step);
    if (step.kind == StepKind::send_hidden) return send_hidden(step, rows, work());
    if (rows.rows == 0) {  // every sequence of the batch is over
      if (step.kind == StepKind::sample) batches_.room_for_tokens(step, rows);
      return;
    }
    const std::int32_t attention = buffer(BufferKind::attention);
    const auto host_rows = [&] { return buffer(BufferKind::host_rows); };
    switch (step.kind) {
      case StepKind::embed:
        return ops_.embed(rows, token_ids(step, rows), work());
      case StepKind::project_qkv:
        return ops_.project_qkv(group(step), weight_slot(), rows, work(), kv_, place(program, step),
                                attention);
      case StepKind::attend:
        return ops_.attend(group(step), weight_slot(), rows, kv_, place(program, step), attention,
                           options_.policy.attention_sparsity);
      case StepKind::fetch_qkv:
        return copier.copy(host_attention_.qkv(host_rows()), ops_.qkv(attention),
                           host_attention_.qkv_bytes(rows));
      case StepKind::return_attention:
        return ops_.return_attention(kv_.cpu_segments(place(program, step), rows),
                                     reinterpret_cast<const float*>(host_attention_.output(host_rows())),
                                     attention);
      case StepKind::feed_forward:
        return ops_.feed_forward(group(step), weight_slot(), rows, work(), attention);
      case StepKind::sample:
        std::ranges::copy(
            ops_.sample(group(step), weight_slot(), rows, work(), options_.sampling, options_.on_logits),
            batches_.room_for_tokens(step, rows).begin());
        return;
      default:
        OPTPIPE_CHECK(false, "no work for step {}", name_of(step.kind));
    }
  }

  void send_hidden(const Step& step, const BatchRows& rows, const float* work) {
    send_occupants(step);
    const auto values = static_cast<std::size_t>(rows.rows * config_.hidden);
    if (values > 0) transport_.send(next(), Channel::hidden, std::as_bytes(std::span(work, values)));
  }

  void recv_hidden(const Program& program, const Step& step, float* work) {
    recv_occupants(program, step);
    const auto values = static_cast<std::size_t>(batches_.rows(step).rows * config_.hidden);
    if (values == 0) return;
    const auto bytes =
        transport_.recv(previous(), Channel::hidden, std::as_writable_bytes(std::span(work, values)));
    OPTPIPE_CHECK(bytes == values * sizeof(float), "{} bytes of hidden states arrived, not {}", bytes,
                  values * sizeof(float));
  }

  LayerOps ops_;
};

}  // namespace

std::unique_ptr<Stage> make_cpu_stage(const model::ModelConfig& config, const model::StageSlice& slice,
                                      const model::Checkpoint& checkpoint,
                                      const std::vector<memory::Round>& rounds, const StageOptions& options,
                                      comm::Transport& transport, FailureHandler on_failure) {
  const DType weights = weight_dtype(config, slice, checkpoint);
  StageOptions own = options;
  own.policy.weight_format = weight_format(config, slice, checkpoint, options.policy.weight_format);
  return std::make_unique<CpuStage>(
      StageInputs{config, slice, checkpoint, own, transport, std::move(on_failure)},
      planner::plan_stage(
          {config, slice, weights, rounds, own.policy, transport.size(), planner::Backend::cpu}));
}

}  // namespace optpipe::executor
