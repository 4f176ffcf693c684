// Of the block schedule: the order of a stage's work.

#include "schedule/block_schedule.hpp"

#include "schedule/dependencies.hpp"

namespace optpipe::schedule {

BlockScheduleBuilder::BlockScheduleBuilder(const StageParameters& parameters)
    : BlockProgram(parameters),
      visits_(list_visits(parameters)),
      weights_(visits_, parameters.weight_slots, weight_lag(parameters)) {
  program_.rank = p_.rank;
  program_.ranks = p_.ranks;
  program_.weight_parts = static_cast<std::int32_t>(p_.gpu_batches * (is_looped() ? p_.micro_batches : 1));
  work_of_.assign(static_cast<std::size_t>(p_.gpu_batches), -1);
  batches_before_.push_back(0);
  for (const Visit& visit : visits_)
    batches_before_.push_back(batches_before_.back() + visit.end - visit.begin);
}

Program BlockScheduleBuilder::build() && {
  for (std::size_t v = 0; v < visits_.size(); ++v) {
    emit_visit(v);
    if (ends_run(v)) emit_arrivals(v);
  }
  finish_all();
  if (p_.slice.embedding) {
    for (std::int64_t m = 0; m < p_.micro_batches; ++m)
      for (std::int64_t k = 0; k < p_.gpu_batches; ++k) {
        emit_recv_tokens({TokenStep(end_step() - 1), MicroBatchId(m), {}}, GpuBatchId(k));
        emit_accept({TokenStep(end_step() - 1), MicroBatchId(m), {}}, GpuBatchId(k));
      }
  }
  DependencyTracker tracker(program_.buffers.size());
  for (std::size_t i = 0; i < program_.steps.size(); ++i)
    tracker.order(program_.steps[i], StepId(static_cast<std::int64_t>(i)));
  return std::move(program_);
}

bool BlockScheduleBuilder::ends_run(std::size_t v) const {
  return v + 1 == visits_.size() || visits_[v + 1].micro_batch != visits_[v].micro_batch ||
         visits_[v + 1].run != visits_[v].run || visits_[v + 1].token_step != visits_[v].token_step;
}

void BlockScheduleBuilder::emit_visit(std::size_t v) {
  const Visit& visit = visits_[v];
  begin_weight_loads(v);
  for (std::int64_t b = visit.begin; b < visit.end; ++b) {
    const GpuBatchId k(b);
    if (visit.head)
      emit_head(visit, v, k);
    else
      emit_layer(visit, v, k);
  }
  // What goes to another stage goes now: that stage, or the next token, may depend on it.
  if ((leaves(visit) && !passes_may_outlast(visit)) || (moves_weights() && p_.weight_slots < 2)) finish_all();
}

void BlockScheduleBuilder::emit_layer(const Visit& visit, std::size_t v, GpuBatchId k) {
  if (p_.host_attention.any && visit.token_step.value > 0) return begin_pass(visit, v, k);
  emit_entry(visit, k);
  if (p_.kv.any) emit_load_kv(visit, k);
  emit_due_weights(v, k);
  const BufferId rows = batch(visit.token_step, visit.micro_batch, k);

  Uses project{with_weights(v, {rows, work(k)}), {attention(), kv_block(visit, k, Tier::device)}};
  if (p_.kv.any) project.writes.push_back(newest_kv_slot());
  emit(StepKind::project_qkv, visit, visit.layer, k, project);

  Uses attend{{rows, kv_block(visit, k, Tier::device)}, {attention()}};
  if (p_.kv.any) attend.reads.push_back(newest_kv_slot());
  if (p_.attend_uses_weights) attend.reads = with_weights(v, attend.reads);
  emit(StepKind::attend, visit, visit.layer, k, attend);

  emit(StepKind::feed_forward, visit, visit.layer, k, {with_weights(v, {rows, attention()}), {work(k)}});
  if (p_.kv.any) emit_store_kv(visit, k, newest_kv_slot());
  emit_exit(visit, k);
}

void BlockScheduleBuilder::emit_entry(const Visit& visit, GpuBatchId k) {
  if (visit.first)
    emit_input(visit, k);
  else if (!keeps_hidden())
    emit_load_hidden(visit, k);
}

void BlockScheduleBuilder::emit_exit(const Visit& visit, GpuBatchId k) {
  const BufferId rows = batch(visit.token_step, visit.micro_batch, k);
  if (leaves(visit)) {
    emit(StepKind::send_hidden, visit, visit.layer, k, {{rows, work(k)}, {}});
  } else if (!keeps_hidden()) {
    emit_store_hidden(visit, k);
  }
}

void BlockScheduleBuilder::emit_head(const Visit& visit, std::size_t v, GpuBatchId k) {
  if (keeps_hidden()) {
    finish_batch(k);
  } else {
    finish_all();  // whoever is under way keeps a work buffer, and the ring has no more than that
    emit_load_hidden(visit, k);
  }
  emit_due_weights(v, k);
  const BufferId rows = batch(visit.token_step, visit.micro_batch, k);
  const BufferId chosen = tokens(visit.micro_batch, k);
  emit(StepKind::sample, visit, visit.layer, k, {with_weights(v, {rows, work(k)}), {chosen}});
  if (!keeps_tokens() && visit.part + 1 == visit.parts)
    emit(StepKind::send_tokens, visit, visit.layer, k, {{rows, chosen}, {}});
}

Program build_program(const StageParameters& parameters) { return BlockScheduleBuilder(parameters).build(); }

}  // namespace optpipe::schedule
