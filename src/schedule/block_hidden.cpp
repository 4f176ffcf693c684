// Of the block schedule: hidden states and tokens, how they come to a stage, wait in it and leave.

#include "schedule/block_schedule.hpp"

namespace optpipe::schedule {

// The work buffer for the hidden states that enter the stage now.
void BlockScheduleBuilder::claim_work(const Visit& visit, GpuBatchId k) {
  const bool in_pieces = visit.token_step.value == 0 && p_.prefill.pieces > 1;
  if (!keeps_hidden() || in_pieces) {
    work_of_[index(k)] = hidden_ring_.next();
    return;
  }
  if (k.value == 0) turn_ = (turn_ + 1) % hidden_sets(p_);
  work_of_[index(k)] = static_cast<std::int32_t>(turn_ * p_.gpu_batches + k.value);
}

void BlockScheduleBuilder::emit_input(const Visit& visit, GpuBatchId k) {
  if (!enters_model(visit)) return parks(p_) ? emit_load_hidden(visit, k) : emit_receive(visit, k);
  const BufferId rows = batch(visit.token_step, visit.micro_batch, k);
  if (visit.token_step.value > p_.first_token_step) {
    if (!parks(p_)) emit_recv_tokens(before(visit), k);
    emit_accept(before(visit), k);
  }
  claim_work(visit, k);
  emit(StepKind::embed, visit, {}, k, {{rows, tokens(visit.micro_batch, k)}, {work(k)}});
}

// Which sequences run is news in the stage's first run only, and comes with a batch's first part.
void BlockScheduleBuilder::emit_receive(const Visit& visit, GpuBatchId k) {
  claim_work(visit, k);
  const BufferId rows = batch(visit.token_step, visit.micro_batch, k);
  if (visit.run == 0 && visit.part == 0)
    emit(StepKind::recv_hidden, visit, visit.layer, k, {{}, {work(k), rows}});
  else
    emit(StepKind::recv_hidden, visit, visit.layer, k, {{rows}, {work(k)}});
}

// Behind the visits of a micro-batch to a run: the arrival of the one that is by then through the last
// rank.
void BlockScheduleBuilder::emit_arrivals(std::size_t v) {
  if (!parks(p_)) return;
  const Visit& visit = visits_[v];
  const std::int64_t ahead = visit.micro_batch.value + p_.micro_batches - p_.ranks;
  const std::int64_t stay = visit.stay + ahead / p_.micro_batches;
  const MicroBatchId arriving(ahead % p_.micro_batches);
  for (std::size_t n = v; n < visits_.size() && visits_[n].stay <= stay; ++n) {
    const Visit& next = visits_[n];
    if (next.stay == stay && next.first && next.micro_batch == arriving) return emit_arrival(next);
  }
}

void BlockScheduleBuilder::emit_arrival(Visit visit) {
  for (std::int64_t b = 0; b < p_.gpu_batches; ++b) {
    const GpuBatchId k(b);
    if (enters_model(visit)) {  // tokens come in turn, between hidden states
      if (visit.token_step.value > p_.first_token_step) emit_recv_tokens(before(visit), k);
      continue;
    }
    emit_receive(visit, k);
    Visit source = visit;
    source.layer = LayerId(visit.layer.value - 1);  // that they come from
    emit_store_hidden(source, k);
  }
}

void BlockScheduleBuilder::emit_recv_tokens(const Visit& visit, GpuBatchId k) {
  if (!keeps_tokens()) emit(StepKind::recv_tokens, visit, {}, k, {{}, {tokens(visit.micro_batch, k)}});
}

void BlockScheduleBuilder::emit_accept(const Visit& visit, GpuBatchId k) {
  const BufferId now = batch(visit.token_step, visit.micro_batch, k);
  const BufferId after = batch(TokenStep(visit.token_step.value + 1), visit.micro_batch, k);
  emit(StepKind::accept, visit, {}, k, {{tokens(visit.micro_batch, k), now}, {after}});
}

void BlockScheduleBuilder::emit_load_hidden(const Visit& visit, GpuBatchId k) {
  work_of_[index(k)] = hidden_ring_.next();
  Uses load{{batch(visit.token_step, visit.micro_batch, k), hidden_home(visit.micro_batch, k)}, {work(k)}};
  if (p_.hidden.disk) {
    const BufferId from_disk = stage(BufferKind::hidden_stage, hidden_stages_.next(), p_.sizes.hidden_stage);
    emit(StepKind::read_hidden, visit, visit.layer, k,
         {{batch(visit.token_step, visit.micro_batch, k), hidden_disk(visit.micro_batch, k)}, {from_disk}});
    load.reads.push_back(from_disk);
  }
  emit(StepKind::load_hidden, visit, visit.layer, k, load);
}

void BlockScheduleBuilder::emit_store_hidden(const Visit& visit, GpuBatchId k) {
  const BufferId rows = batch(visit.token_step, visit.micro_batch, k);
  Uses store{{rows, work(k)}, {hidden_home(visit.micro_batch, k)}};
  if (!p_.hidden.disk) {
    emit(StepKind::store_hidden, visit, visit.layer, k, store);
    return;
  }
  const BufferId to_disk =
      stage(BufferKind::hidden_write_stage, hidden_write_stages_.next(), p_.sizes.hidden_stage);
  store.writes.push_back(to_disk);
  emit(StepKind::store_hidden, visit, visit.layer, k, store);
  emit(StepKind::write_hidden, visit, visit.layer, k, {{rows, to_disk}, {hidden_disk(visit.micro_batch, k)}});
}

}  // namespace optpipe::schedule
