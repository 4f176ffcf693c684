// What stages of every backend share: memory, the course of a round, messages to other stages, the fate of
// sequences.
#pragma once

#include <functional>

#include "executor/stage/batch_table.hpp"
#include "executor/stage/hidden_store.hpp"
#include "executor/stage/host_attention.hpp"
#include "executor/stage/kv_store.hpp"
#include "executor/stage/queue_runner.hpp"
#include "executor/stage/step_recorder.hpp"
#include "executor/stage/weight_store.hpp"
#include "optpipe/executor/stage.hpp"

namespace optpipe::executor {

// What a stage is made from; all of it outlives the stage's construction only, but for the transport.
struct StageInputs {
  const model::ModelConfig& config;
  const model::StageSlice& slice;
  const model::Checkpoint& checkpoint;
  const StageOptions& options;
  comm::Transport& transport;
  FailureHandler on_failure;
};

class BaseStage : public Stage, protected StepHandler {
 public:
  RunStatistics run(const memory::Round& round, TokenSink* sink) final;
  const planner::StagePlan& plan() const final { return plan_; }
  MemoryPeak memory_peak() const override { return {.disk = disk_.bytes_on_disk()}; }

 protected:
  BaseStage(const StageInputs& inputs, planner::StagePlan plan, const TierMemory& memory, Copier& copier);

  // Before a round's first step, and after its last: nothing may be under way then.
  virtual void begin_round(const schedule::Program&) {}
  virtual void end_round(const schedule::Program&) {}

  virtual void do_step(const schedule::Program& program, const schedule::Step& step) = 0;
  // Whether the backend adds the step's time itself, by the end of the round.
  virtual bool is_timed_on_device(const schedule::Step&) const { return false; }

  std::size_t group(const schedule::Step& step) const {
    return static_cast<std::size_t>(slice_.index_of(step.layer));
  }
  KvStore::Place place(const schedule::Program& program, const schedule::Step& step) const;

  // Ids of all rows: the prompts at step 0, the newest tokens later.
  std::vector<std::int32_t> token_ids(const schedule::Step& step, const BatchRows& rows) const;

  // Steps that need no device. A message of hidden states begins with the list of who stands in which place.
  void send_occupants(const schedule::Step& step);
  void recv_occupants(const schedule::Program& program, const schedule::Step& step);
  void send_tokens(const schedule::Step& step);
  void recv_tokens(const schedule::Step& step);
  void accept(const schedule::Step& step);

  // Reads from disk and writes to it: true if the step was one. Loads and stores: the same, through `copier`.
  bool run_disk_step(const schedule::Program& program, const schedule::Step& step);
  bool run_copy_step(const schedule::Program& program, const schedule::Step& step, Copier& copier);
  // Attention on CPU cores: the same.
  bool run_host_step(const schedule::Program& program, const schedule::Step& step);

  // Looped stages pass hidden states round in a ring.
  Rank next() const { return comm::next(transport_); }
  Rank previous() const { return comm::previous(transport_); }

  model::ModelConfig config_;
  model::StageSlice slice_;
  planner::StagePlan plan_;
  StageOptions options_;
  comm::Transport& transport_;
  memory::DiskFile disk_;
  WeightStore weights_;
  KvStore kv_;
  HiddenStore hidden_;
  HostAttention host_attention_;
  BatchTable batches_;
  StepRecorder recorder_;

 private:
  void run(const schedule::Program& program, const schedule::Step& step) final;
  void run(const schedule::Program& program);
  void at(const char* where, const std::function<void()>& action) const;  // adds the place to an error
  bool is_all_over();                                                     // collective

  Rank head_rank_;
  FailureHandler on_failure_;
  TokenSink* sink_ = nullptr;
  RunStatistics statistics_;
  std::int64_t awaited_first_tokens_ = 0;
};

}  // namespace optpipe::executor
