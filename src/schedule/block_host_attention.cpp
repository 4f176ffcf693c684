// Of the block schedule: decode with attention on the host. A batch's pass through a layer begins with the
// projection, and ends, behind the beginnings of other batches' passes, once the CPU cores are done.

#include <algorithm>

#include "schedule/block_schedule.hpp"

namespace optpipe::schedule {

void BlockScheduleBuilder::begin_pass(const Visit& visit, std::size_t v, GpuBatchId k) {
  const auto most =
      static_cast<std::size_t>(std::clamp<std::int64_t>(p_.host_attention.in_flight, 1, p_.gpu_batches));
  while (under_way_.size() >= most) finish_pass();
  finish_batch(k);
  emit_entry(visit, k);
  UnderWay pass{v, k, host_ring_.next(), -1};
  if (streams_kv()) {
    emit_load_kv(visit, k);
    pass.kv_slot = kv_ring_.newest();
  }
  emit_due_weights(v, k);
  const BufferId rows = batch(visit.token_step, visit.micro_batch, k);
  emit(StepKind::project_qkv, visit, visit.layer, k, {with_weights(v, {rows, work(k)}), {attention(pass)}});
  emit(StepKind::fetch_qkv, visit, visit.layer, k, {{rows, attention(pass)}, {host_rows(pass)}});
  emit(StepKind::attend_host, visit, visit.layer, k, {{rows}, {host_rows(pass), kv_cpu(visit, k)}});
  under_way_.push_back(pass);
}

// Of the pass that has been under way for longest.
// Of the pass that has been under way for longest.
void BlockScheduleBuilder::finish_pass() {
  const UnderWay pass = under_way_.front();
  under_way_.pop_front();
  const Visit& visit = visits_[pass.visit];
  const GpuBatchId k = pass.gpu_batch;
  const BufferId rows = batch(visit.token_step, visit.micro_batch, k);
  Uses attend{{rows}, {attention(pass), kv_block(visit, k, Tier::device)}};
  if (streams_kv()) attend.writes.push_back(kv_slot(pass.kv_slot));
  emit(StepKind::attend, visit, visit.layer, k, attend);
  emit(StepKind::return_attention, visit, visit.layer, k, {{rows, host_rows(pass)}, {attention(pass)}});
  emit(StepKind::feed_forward, visit, visit.layer, k,
       {with_weights(pass.visit, {rows, attention(pass)}), {work(k)}});
  if (streams_kv()) emit_store_kv(visit, k, kv_slot(pass.kv_slot));
  emit_exit(visit, k);
}

void BlockScheduleBuilder::finish_batch(GpuBatchId k) {
  while (std::ranges::find(under_way_, k, &UnderWay::gpu_batch) != under_way_.end()) finish_pass();
}

void BlockScheduleBuilder::finish_all() {
  while (!under_way_.empty()) finish_pass();
}

}  // namespace optpipe::schedule
