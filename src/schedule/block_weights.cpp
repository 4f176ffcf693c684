// Of the block schedule: loads of streamed weights, in parts, between the steps that compute.

#include <algorithm>

#include "schedule/block_schedule.hpp"

namespace optpipe::schedule {

void BlockScheduleBuilder::begin_weight_loads(std::size_t v) {
  if (load_ && load_->visit == v) emit_weight_parts(program_.weight_parts);
  for (const WeightLoad& load : weights_.issued_during(v)) {
    if (load_) emit_weight_parts(program_.weight_parts);  // one load at a time, in order
    load_ = load;
    emitted_parts_ = 0;
    emit_weight_read();
    if (load.visit == v) emit_weight_parts(program_.weight_parts);
  }
}

// Behind what the batch loads for itself, which is needed sooner than the weights of a later layer.
void BlockScheduleBuilder::emit_due_weights(std::size_t v, GpuBatchId k) {
  if (load_) emit_weight_parts(parts_due(v, k.value));
}

// Parts of the load under way that should be issued by batch `b` of visit `v`.
int BlockScheduleBuilder::parts_due(std::size_t v, std::int64_t b) const {
  const auto batches = batches_before_[load_->until] - batches_before_[load_->from];
  const auto passed = batches_before_[v] - batches_before_[load_->from] + b - visits_[v].begin + 1;
  return static_cast<int>(program_.weight_parts * std::min(passed, batches) / batches);
}

bool BlockScheduleBuilder::is_on_disk(const Visit& target) const {
  return (target.head ? p_.head_weights : p_.layer_weights).disk;
}

BufferId BlockScheduleBuilder::weight_stage() {
  return stage(BufferKind::weight_stage, weight_stages_.newest(), p_.sizes.weight_stage);
}

void BlockScheduleBuilder::emit_weight_read() {
  const Visit& target = visits_[load_->visit];
  if (!is_on_disk(target)) return;
  weight_stages_.next();
  emit(StepKind::read_weights, target, target.layer, {}, {{}, {weight_stage()}});
}

// Of the load under way: up to part `end`.
void BlockScheduleBuilder::emit_weight_parts(int end) {
  const Visit& target = visits_[load_->visit];
  for (; emitted_parts_ < end; ++emitted_parts_) {
    Uses uses{{}, {weight_slot(load_->slot)}};
    if (is_on_disk(target)) uses.reads = {weight_stage()};
    emit(StepKind::load_weights, target, target.layer, {}, uses, emitted_parts_);
  }
  if (emitted_parts_ == program_.weight_parts) load_.reset();
}

std::vector<BufferId> BlockScheduleBuilder::with_weights(std::size_t v, std::vector<BufferId> reads) {
  if (weights_.slot_of(v) >= 0) reads.push_back(weight_slot(weights_.slot_of(v)));
  return reads;
}

}  // namespace optpipe::schedule
