// The CPU executor: does the work of each step of a program on this rank's memory.

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstring>

#include "executor/cpu/batch_table.hpp"
#include "executor/cpu/cpu_plan.hpp"
#include "executor/cpu/layer_ops.hpp"
#include "executor/queue_runner.hpp"
#include "optpipe/base/check.hpp"
#include "optpipe/schedule/validate.hpp"

namespace optpipe::executor {
namespace {

using comm::Channel;
using schedule::BufferKind;
using schedule::Program;
using schedule::Step;
using schedule::StepKind;
using Clock = std::chrono::steady_clock;

class CpuStage final : public Stage, private StepHandler {
 public:
  CpuStage(const model::ModelConfig& config, const model::StageSlice& slice,
           const model::Checkpoint& checkpoint, CpuPlan plan, const StageOptions& options,
           comm::Transport& transport, FailureHandler on_failure)
      : config_(config),
        slice_(slice),
        plan_(std::move(plan)),
        options_(options),
        transport_(transport),
        on_failure_(std::move(on_failure)),
        disk_(options.offload_directory, plan_.disk_bytes),
        weights_(plan_.weights, checkpoint, disk_, options.threads),
        kv_(plan_.kv, disk_, options.threads),
        hidden_(plan_.hidden, disk_, options.threads),
        ops_(config_, slice_, weights_, plan_.rows, options.threads) {}

  RunStatistics run(const memory::Round& round, TokenSink* sink) override {
    OPTPIPE_CHECK(!slice_.embedding || sink != nullptr, "the first stage needs a place for tokens");
    sink_ = sink;
    batches_.begin(round);
    kv_.begin(lay_out_kv(config_, slice_, round, options_.policy, plan_.kv_dtype));
    const auto parameters = schedule_parameters(plan_, config_, slice_, round, kv_.layout(),
                                                transport_.rank(), transport_.size());
    const Program program = schedule::build_contiguous(parameters);
    if (const auto faults = schedule::find_faults(program); !faults.empty())
      OPTPIPE_CHECK(false, "the schedule is unsound: {}", faults.front());
    awaited_first_tokens_ = round.sequences();
    statistics_ = {};
    begin_ = Clock::now();
    statistics_.busy_s = run_program(program, *this, options_.policy.overlap, on_failure_);
    statistics_.total_s = since_begin();
    return statistics_;
  }

  MemoryUse memory_use() const override { return plan_.use; }

 private:
  void run(const Program& program, const Step& step) override {
    const auto buffer = [&](BufferKind kind) { return program.index_of(step, kind); };
    const auto k = static_cast<std::size_t>(std::max(step.gpu_batch.value, 0));
    switch (step.kind) {
      // Nothing is worth loading once no sequence runs any more; a later micro-batch cannot revive one.
      case StepKind::read_weights:
        if (!batches_.all_over()) weights_.read(group(step), buffer(BufferKind::weight_stage));
        return;
      case StepKind::load_weights:
        if (!batches_.all_over())
          weights_.load(group(step), buffer(BufferKind::weight_slot), buffer(BufferKind::weight_stage),
                        step.part, program.weight_parts);
        return;
      case StepKind::recv_hidden:
        return recv_hidden(step, hidden_.work(buffer(BufferKind::hidden_work)));
      case StepKind::recv_tokens:
        return recv_tokens(step);
      case StepKind::accept:
        return accept(step);
      case StepKind::send_tokens:
        return send_tokens(step);
      default:
        break;
    }
    const BatchRows rows = batches_.rows(step);
    const std::int64_t values = rows.rows * config_.hidden;
    const auto work = [&] { return hidden_.work(buffer(BufferKind::hidden_work)); };
    const auto weight_slot = [&] { return buffer(BufferKind::weight_slot); };
    if (step.kind == StepKind::send_hidden)
      return send_hidden(step, {work(), static_cast<std::size_t>(values)});
    if (rows.rows == 0) {  // every sequence of the batch is over
      if (step.kind == StepKind::sample) batches_.tokens(step).clear();
      return;
    }
    switch (step.kind) {
      case StepKind::read_kv:
        return kv_.read(place(program, step), rows, buffer(BufferKind::kv_stage));
      case StepKind::load_kv:
        return kv_.load(place(program, step), rows, buffer(BufferKind::kv_stage));
      case StepKind::store_kv:
        return kv_.store(place(program, step), rows, buffer(BufferKind::kv_write_stage));
      case StepKind::write_kv:
        return kv_.write(place(program, step), rows, buffer(BufferKind::kv_write_stage));
      case StepKind::read_hidden:
        return hidden_.read(k, values, buffer(BufferKind::hidden_stage));
      case StepKind::load_hidden:
        return hidden_.load(k, values, buffer(BufferKind::hidden_work), buffer(BufferKind::hidden_stage));
      case StepKind::store_hidden:
        return hidden_.store(k, values, buffer(BufferKind::hidden_work),
                             buffer(BufferKind::hidden_write_stage));
      case StepKind::write_hidden:
        return hidden_.write(k, values, buffer(BufferKind::hidden_write_stage));
      case StepKind::embed:
        return ops_.embed(rows, token_ids(step, rows), work());
      case StepKind::project_qkv:
        return ops_.project_qkv(group(step), weight_slot(), rows, work(), kv_, place(program, step));
      case StepKind::attend:
        return ops_.attend(rows, kv_, place(program, step));
      case StepKind::feed_forward:
        return ops_.feed_forward(group(step), weight_slot(), rows, work());
      case StepKind::sample:
        batches_.tokens(step) = ops_.sample(group(step), weight_slot(), rows, batches_.batch(step), work(),
                                            step.token_step.value, options_.sampling, options_.on_logits);
        return;
      default:
        OPTPIPE_CHECK(false, "no work for step {}", name_of(step.kind));
    }
  }

  std::size_t group(const Step& step) const {
    return static_cast<std::size_t>(step.layer.value - slice_.first.value);
  }

  KvStore::Place place(const Program& program, const Step& step) const {
    const std::int64_t layer = step.layer.value - slice_.first.value;
    return {&kv_.layout().block(step.micro_batch, step.gpu_batch, layer),
            program.index_of(step, BufferKind::kv_slot)};
  }

  // Ids of all rows: the prompts at step 0, the newest tokens later.
  std::vector<std::int32_t> token_ids(const Step& step, const BatchRows& rows) {
    if (step.token_step.value > 0) {
      std::vector<std::int32_t> going_on;
      const auto& newest = batches_.newest(step);
      for (const RowSpan& span : rows.spans)
        going_on.push_back(newest[static_cast<std::size_t>(span.sequence)]);
      return going_on;
    }
    std::vector<std::int32_t> ids;
    for (const RowSpan& span : rows.spans) {
      const auto prompt = sink_->prompt(batches_.batch(step)[static_cast<std::size_t>(span.sequence)].index);
      ids.insert(ids.end(), prompt.begin(), prompt.end());
    }
    return ids;
  }

  // ---- network: a message of flags, then the hidden states of the sequences that still run
  Rank next() const { return Rank(transport_.rank().value + 1); }
  Rank previous() const { return Rank(transport_.rank().value - 1); }
  Rank last() const { return Rank(transport_.size() - 1); }

  void send_hidden(const Step& step, std::span<const float> values) {
    transport_.send(next(), Channel::batch, std::as_bytes(std::span(batches_.running(step))));
    if (!values.empty()) transport_.send(next(), Channel::hidden, std::as_bytes(values));
  }

  void recv_hidden(const Step& step, float* work) {
    std::vector<std::uint8_t> flags(batches_.batch(step).size());
    const auto size = transport_.recv(previous(), Channel::batch, std::as_writable_bytes(std::span(flags)));
    OPTPIPE_CHECK(size == flags.size(), "{} flags arrived for {} sequences", size, flags.size());
    batches_.set_running(step, step.token_step.value, std::move(flags));
    const auto values = static_cast<std::size_t>(batches_.rows(step).rows * config_.hidden);
    if (values == 0) return;
    const auto bytes =
        transport_.recv(previous(), Channel::hidden, std::as_writable_bytes(std::span(work, values)));
    OPTPIPE_CHECK(bytes == values * sizeof(float), "{} bytes of hidden states arrived, not {}", bytes,
                  values * sizeof(float));
  }

  void send_tokens(const Step& step) {
    const auto& tokens = batches_.tokens(step);
    if (!tokens.empty()) transport_.send(Rank(0), Channel::tokens, std::as_bytes(std::span(tokens)));
  }

  void recv_tokens(const Step& step) {
    auto& tokens = batches_.tokens(step);
    tokens.resize(batches_.rows(step).spans.size());
    if (tokens.empty()) return;
    const auto bytes = transport_.recv(last(), Channel::tokens, std::as_writable_bytes(std::span(tokens)));
    OPTPIPE_CHECK(bytes == tokens.size() * sizeof(std::int32_t), "{} bytes arrived for {} tokens", bytes,
                  tokens.size());
  }

  void accept(const Step& step) {
    const auto& batch = batches_.batch(step);
    const BatchRows rows = batches_.rows(step);
    const auto& tokens = batches_.tokens(step);
    std::vector<std::uint8_t> goes_on(batch.size(), 0);
    for (std::size_t i = 0; i < rows.spans.size(); ++i) {
      const auto s = static_cast<std::size_t>(rows.spans[i].sequence);
      const bool wanted = sink_->accept(batch[s].index, tokens[i]);
      goes_on[s] = wanted && step.token_step.value + 1 < batch[s].new_tokens;
    }
    if (step.token_step.value == 0) {
      awaited_first_tokens_ -= static_cast<std::int64_t>(rows.spans.size());
      if (awaited_first_tokens_ == 0) statistics_.prefill_s = since_begin();
    }
    batches_.set_newest(step, rows, tokens);
    batches_.set_running(step, step.token_step.value + 1, std::move(goes_on));
  }

  double since_begin() const { return std::chrono::duration<double>(Clock::now() - begin_).count(); }

  model::ModelConfig config_;
  model::StageSlice slice_;
  CpuPlan plan_;
  StageOptions options_;
  comm::Transport& transport_;
  FailureHandler on_failure_;
  memory::DiskFile disk_;
  WeightStore weights_;
  KvStore kv_;
  HiddenStore hidden_;
  LayerOps ops_;
  BatchTable batches_;
  TokenSink* sink_ = nullptr;
  RunStatistics statistics_;
  Clock::time_point begin_;
  std::int64_t awaited_first_tokens_ = 0;
};

}  // namespace

std::unique_ptr<Stage> make_cpu_stage(const model::ModelConfig& config, const model::StageSlice& slice,
                                      const model::Checkpoint& checkpoint,
                                      const std::vector<memory::Round>& rounds, const StageOptions& options,
                                      comm::Transport& transport, FailureHandler on_failure) {
  const auto layer = model::layer_tensors(config, slice.first);
  const auto fc1 = std::ranges::find(layer, model::Role::fc1_weight, &model::TensorSpec::role);
  const auto info = checkpoint.find(fc1->name);
  if (!info) throw InputError(fmt::format("{} has no tensor {}", checkpoint.describe(), fc1->name));
  return std::make_unique<CpuStage>(config, slice, checkpoint,
                                    plan_cpu_stage(config, slice, info->dtype, rounds, options.policy),
                                    options, transport, std::move(on_failure));
}

}  // namespace optpipe::executor
