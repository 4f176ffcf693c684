// The block schedule: a stage's visits in their order, and in each one GPU batch after another, so that a
// loaded layer serves all of them.
#pragma once

#include <deque>
#include <optional>
#include <vector>

#include "optpipe/schedule/builder.hpp"
#include "schedule/block_program.hpp"
#include "schedule/under_way.hpp"
#include "schedule/visits.hpp"
#include "schedule/weight_ring.hpp"

namespace optpipe::schedule {

class BlockScheduleBuilder : private BlockProgram {
 public:
  explicit BlockScheduleBuilder(const StageParameters& parameters);
  Program build() &&;

 private:
  // ---- order of the work (block_schedule.cpp)
  bool ends_run(std::size_t v) const;
  void emit_visit(std::size_t v);
  void emit_layer(const Visit& visit, std::size_t v, GpuBatchId k);
  void emit_head(const Visit& visit, std::size_t v, GpuBatchId k);
  void emit_entry(const Visit& visit, GpuBatchId k);  // hidden states come to the layer,
  void emit_exit(const Visit& visit, GpuBatchId k);   // and go on from it

  // ---- weights (block_weights.cpp)
  void begin_weight_loads(std::size_t v);
  void emit_due_weights(std::size_t v, GpuBatchId k);
  int parts_due(std::size_t v, std::int64_t b) const;
  void emit_weight_read();
  void emit_weight_parts(int end);
  std::vector<BufferId> with_weights(std::size_t v, std::vector<BufferId> reads);
  BufferId weight_stage();
  bool is_on_disk(const Visit& target) const;

  // ---- hidden states and tokens (block_hidden.cpp)
  void claim_work(const Visit& visit, GpuBatchId k);
  BufferId work(GpuBatchId k) { return hidden_work(work_of_[index(k)]); }
  void emit_input(const Visit& visit, GpuBatchId k);
  void emit_receive(const Visit& visit, GpuBatchId k);
  void emit_arrivals(std::size_t v);
  void emit_arrival(Visit visit);
  void emit_recv_tokens(const Visit& visit, GpuBatchId k);
  void emit_accept(const Visit& visit, GpuBatchId k);
  void emit_load_hidden(const Visit& visit, GpuBatchId k);
  void emit_store_hidden(const Visit& visit, GpuBatchId k);

  // ---- keys and values (block_kv.cpp)
  void emit_load_kv(const Visit& visit, GpuBatchId k);
  void emit_store_kv(const Visit& visit, GpuBatchId k, BufferId slot);
  BufferId newest_kv_slot() { return kv_slot(kv_ring_.newest()); }

  // ---- attention on the host (block_host_attention.cpp)
  void begin_pass(const Visit& visit, std::size_t v, GpuBatchId k);
  void finish_pass();
  void finish_batch(GpuBatchId k);
  void finish_all();

  bool is_looped() const { return p_.slice.run_count() > 1; }
  bool keeps_tokens() const { return p_.slice.embedding && p_.slice.head; }
  bool keeps_hidden() const { return !p_.hidden.any; }
  bool moves_weights() const { return p_.layer_weights.any || p_.head_weights.any; }
  bool streams_kv() const { return p_.kv.any && p_.host_attention.kv_streams; }
  bool enters_model(const Visit& visit) const { return visit.run == 0 && p_.slice.embedding; }
  // Hidden states of the layer go to another stage.
  bool leaves(const Visit& visit) const {
    return visit.last && !(p_.slice.head && visit.layer.value + 1 == p_.slice.end().value);
  }
  // With a micro-batch more than ranks, what a looped stage holds back until its next visit holds up nobody,
  // but for the end of a token step, on which the next one waits.
  bool passes_may_outlast(const Visit& visit) const {
    return keeps_hidden() && p_.micro_batches > p_.ranks && visit.run + 1 < p_.slice.run_count();
  }
  std::int64_t end_step() const { return p_.first_token_step + p_.token_steps; }
  // The token step before, of which the tokens enter the model now.
  static Visit before(Visit visit) { return --visit.token_step.value, visit; }
  static std::size_t index(GpuBatchId k) { return static_cast<std::size_t>(k.value); }

  std::vector<Visit> visits_;
  std::vector<std::int64_t> batches_before_;  // [visit, and one more] GPU batches of all visits before
  WeightRing weights_;
  std::optional<WeightLoad> load_;     // under way
  int emitted_parts_ = 0;              // of it
  std::int64_t turn_ = -1;             // which set of work buffers takes what enters the stage
  std::vector<std::int32_t> work_of_;  // [GPU batch] → index of its work buffer now
  std::deque<UnderWay> under_way_;
  Ring host_ring_{p_.host_attention.in_flight};
  Ring weight_stages_{2}, kv_ring_{p_.kv_slots}, kv_stages_{2}, kv_write_stages_{2};
  Ring hidden_ring_{hidden_work_buffers(p_)}, hidden_stages_{2}, hidden_write_stages_{2};
};

}  // namespace optpipe::schedule
