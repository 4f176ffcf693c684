#include "executor/stage/base_stage.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <future>

#include "executor/stage/message_times.hpp"
#include "executor/stage/step_text.hpp"
#include "optpipe/base/check.hpp"
#include "optpipe/planner/attention.hpp"
#include "optpipe/schedule/builder.hpp"
#include "optpipe/schedule/validate.hpp"

namespace optpipe::executor {

using comm::Channel;
using schedule::BufferKind;
using schedule::Program;
using schedule::Step;
using schedule::StepKind;

namespace {

Program build_checked(const schedule::StageParameters& parameters) {
  Program program = schedule::build_program(parameters);
  if (const auto faults = schedule::find_faults(program); !faults.empty())
    OPTPIPE_CHECK(false, "the schedule is unsound: {}", faults.front());
  return program;
}

}  // namespace

BaseStage::BaseStage(const StageInputs& inputs, planner::StagePlan plan, const TierMemory& memory,
                     Copier& copier)
    : config_(inputs.config),
      slice_(inputs.slice),
      plan_(std::move(plan)),
      options_(inputs.options),
      transport_(inputs.transport),
      disk_(inputs.options.offload_directory, plan_.disk_bytes, {.checksums = inputs.options.verify_offload}),
      weights_(plan_.weights, inputs.checkpoint, disk_, memory, copier, inputs.options.threads),
      kv_(plan_.kv, disk_, memory),
      hidden_(plan_.hidden, disk_, memory),
      host_attention_(plan_, config_.hidden, memory.host),
      head_rank_(model::head_stage(config_, slice_, transport_.size())),
      on_failure_(inputs.on_failure) {}

RunStatistics BaseStage::run(const memory::Round& round, TokenSink* sink) {
  OPTPIPE_CHECK(!slice_.embedding || sink != nullptr, "the first stage needs a place for tokens");
  sink_ = sink;
  batches_.begin(round);
  kv_.begin(planner::lay_out_kv(config_, slice_, round, options_.policy, plan_.needs.kv));
  auto parameters =
      planner::schedule_parameters(plan_, slice_, round, kv_.layout(), transport_.rank(), transport_.size());
  parameters.continues = !round.waiting.empty();
  awaited_first_tokens_ = round.sequences() - static_cast<std::int64_t>(round.waiting.size());
  statistics_ = {};
  const Bytes read_before = disk_.bytes_read(), written_before = disk_.bytes_written();
  const auto begin = std::chrono::steady_clock::now();
  Program program = build_checked(parameters);
  while (true) {
    std::future<Program> next;  // is built while this one runs
    parameters.first_token_step += parameters.token_steps;
    if (parameters.continues) next = std::async(std::launch::async, build_checked, parameters);
    run(program);
    if (!parameters.continues || is_all_over()) break;
    program = next.get();
  }
  statistics_.total_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  statistics_.disk_read = disk_.bytes_read() - read_before;
  statistics_.disk_written = disk_.bytes_written() - written_before;
  return statistics_;
}

void BaseStage::run(const Program& program) {
  recorder_.begin();
  at("the begin of a round", [&] { begin_round(program); });
  run_program(program, *this, options_.policy.overlap, on_failure_,
              {options_.binding.get(), options_.threads});
  at("the end of a round", [&] { end_round(program); });
  auto times = recorder_.take();
  settle_message_times(program, times, slice_, transport_);
  statistics_.use += schedule::utilization(program, times);
  if (options_.on_timeline) options_.on_timeline(program, times, recorder_.round_begin());
}

void BaseStage::at(const char* where, const std::function<void()>& action) const {
  try {
    action();
  } catch (const Error& error) {
    throw Error(error.status(),
                fmt::format("{}; this is the stage of {}, at {}", error.what(), to_string(slice_), where));
  }
}

// The first rank has seen every last token and tells the others.
bool BaseStage::is_all_over() {
  const auto over = transport_.broadcast({static_cast<std::byte>(batches_.all_over())}, Rank(0));
  return over.at(0) != std::byte{0};
}

void BaseStage::run(const Program& program, const Step& step) {
  recorder_.start(step.queue);
  try {
    do_step(program, step);
  } catch (const PeerError& error) {
    throw PeerError(fmt::format("{}; {}", error.what(), describe_step(slice_, step)));
  } catch (const Error& error) {
    throw Error(error.status(), fmt::format("{}; {}", error.what(), describe_step(slice_, step)));
  }
  if (!is_timed_on_device(step)) recorder_.finish(step.queue, StepId(&step - program.steps.data()));
}

KvStore::Place BaseStage::place(const Program& program, const Step& step) const {
  return {&kv_.layout().block(step.micro_batch, step.gpu_batch, slice_.index_of(step.layer)),
          program.index_of(step, BufferKind::kv_slot)};
}

std::vector<std::int32_t> BaseStage::token_ids(const Step& step, const BatchRows& rows) const {
  std::vector<std::int32_t> ids(static_cast<std::size_t>(rows.rows));
  for (const RowSpan& span : rows.spans) {
    const auto to = ids.begin() + span.first_row;
    if (span.prompt)
      std::ranges::copy(sink_->prompt(span.index), to);
    else
      *to = batches_.newest(step)[static_cast<std::size_t>(span.sequence)];
  }
  return ids;
}

void BaseStage::send_occupants(const Step& step) {
  transport_.send(next(), Channel::batch, std::as_bytes(std::span(batches_.occupants(step))));
}

void BaseStage::recv_occupants(const Program& program, const Step& step) {
  std::vector<Occupant> who(batches_.places(step));
  const auto bytes = std::as_writable_bytes(std::span(who));
  const auto size = transport_.recv(previous(), Channel::batch, bytes);
  recorder_.start(step.queue);  // what is sent behind the list is on its way
  OPTPIPE_CHECK(size == bytes.size(), "{} bytes arrived for {} places", size, who.size());
  if (program.writes(step, BufferKind::batch))
    return batches_.set_occupants(step, step.token_step.value, std::move(who));
  OPTPIPE_CHECK(who == batches_.occupants(step), "rank {} runs other sequences than this one",
                previous().value);
}

void BaseStage::send_tokens(const Step& step) {
  const auto& tokens = batches_.tokens(step);
  if (!tokens.empty()) transport_.send(Rank(0), Channel::tokens, std::as_bytes(std::span(tokens)));
}

void BaseStage::recv_tokens(const Step& step) {
  auto& tokens = batches_.tokens(step);
  tokens.resize(batches_.rows(step).spans.size());
  if (tokens.empty()) return;
  const auto bytes = transport_.recv(head_rank_, Channel::tokens, std::as_writable_bytes(std::span(tokens)));
  recorder_.start(step.queue);
  OPTPIPE_CHECK(bytes == tokens.size() * sizeof(std::int32_t), "{} bytes arrived for {} tokens", bytes,
                tokens.size());
}

void BaseStage::accept(const Step& step) {
  const BatchRows rows = batches_.rows(step);
  const auto& tokens = batches_.tokens(step);
  std::vector<std::uint8_t> goes_on;
  for (std::size_t i = 0; i < rows.spans.size(); ++i) {
    const RowSpan& span = rows.spans[i];
    const bool wanted = sink_->accept(span.index, tokens[i]);
    goes_on.push_back(wanted && span.age + 1 < batches_.new_tokens_of(step, span));
  }
  if (step.token_step.value == 0) {
    awaited_first_tokens_ -= static_cast<std::int64_t>(rows.spans.size());
    if (awaited_first_tokens_ == 0) statistics_.prefill_s = recorder_.now();
  }
  batches_.set_newest(step, rows, tokens);
  batches_.set_occupants(
      step, step.token_step.value + 1,
      batches_.next_occupants(step, rows, goes_on, sink_->takes_more() ? plan_.bounds.rows : 0));
}

bool BaseStage::run_disk_step(const Program& program, const Step& step) {
  const auto buffer = [&](BufferKind kind) { return program.index_of(step, kind); };
  if (step.kind == StepKind::read_weights) {
    // Nothing is worth loading once no sequence runs any more; a later micro-batch cannot revive one.
    if (!batches_.all_over()) weights_.read(group(step), buffer(BufferKind::weight_stage));
    return true;
  }
  if (step.queue != schedule::Queue::disk_read && step.queue != schedule::Queue::disk_write) return false;
  const BatchRows rows = batches_.rows(step);
  if (rows.rows == 0) return true;
  const std::int64_t values = rows.rows * config_.hidden;
  switch (step.kind) {
    case StepKind::read_kv:
      kv_.read(place(program, step), rows, buffer(BufferKind::kv_stage));
      return true;
    case StepKind::write_kv:
      kv_.write(place(program, step), rows, buffer(BufferKind::kv_write_stage));
      return true;
    case StepKind::read_hidden:
      hidden_.read(buffer(BufferKind::hidden_disk), values, buffer(BufferKind::hidden_stage));
      return true;
    case StepKind::write_hidden:
      hidden_.write(buffer(BufferKind::hidden_disk), values, buffer(BufferKind::hidden_write_stage));
      return true;
    default:
      return false;
  }
}

bool BaseStage::run_copy_step(const Program& program, const Step& step, Copier& copier) {
  const auto buffer = [&](BufferKind kind) { return program.index_of(step, kind); };
  if (step.kind == StepKind::load_weights) {
    if (!batches_.all_over())
      weights_.load(group(step), buffer(BufferKind::weight_slot), buffer(BufferKind::weight_stage), step.part,
                    program.weight_parts, copier);
    return true;
  }
  if (step.queue != schedule::Queue::load && step.queue != schedule::Queue::store) return false;
  const BatchRows rows = batches_.rows(step);
  if (rows.rows == 0) return true;
  const std::int64_t values = rows.rows * config_.hidden;
  switch (step.kind) {
    case StepKind::load_kv:
      kv_.load(place(program, step), rows, buffer(BufferKind::kv_stage), copier);
      return true;
    case StepKind::store_kv:
      kv_.store(place(program, step), rows, buffer(BufferKind::kv_write_stage), copier);
      return true;
    case StepKind::load_hidden:
      hidden_.load(buffer(BufferKind::hidden_home), values, buffer(BufferKind::hidden_work),
                   buffer(BufferKind::hidden_stage), copier);
      return true;
    case StepKind::store_hidden:
      hidden_.store(buffer(BufferKind::hidden_home), values, buffer(BufferKind::hidden_work),
                    buffer(BufferKind::hidden_write_stage), copier);
      return true;
    default:
      return false;
  }
}

bool BaseStage::run_host_step(const Program& program, const Step& step) {
  if (step.kind != StepKind::attend_host) return false;
  const BatchRows rows = batches_.rows(step);
  const int chosen = options_.policy.attention_threads;
  const int threads =
      chosen > 0 ? std::min(chosen, options_.threads) : planner::attending_threads(options_.threads);
  if (rows.rows > 0)
    host_attention_.attend(program.index_of(step, BufferKind::host_rows),
                           kv_.cpu_segments(place(program, step), rows), kv_.layout().format,
                           options_.policy.attention_sparsity, threads);
  return true;
}

}  // namespace optpipe::executor
