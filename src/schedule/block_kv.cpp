// Of the block schedule: keys and values on their way to the device and back.

#include "schedule/block_schedule.hpp"

namespace optpipe::schedule {

void BlockScheduleBuilder::emit_load_kv(const Visit& visit, GpuBatchId k) {
  kv_ring_.next();
  if (visit.token_step.value == 0) return;  // nothing is stored yet; the slot takes the prompt's rows
  const BufferId rows = batch(visit.token_step, visit.micro_batch, k);
  Uses load{{rows, kv_block(visit, k, Tier::host)}, {newest_kv_slot()}};
  if (p_.kv.disk) {
    const BufferId from_disk = stage(BufferKind::kv_stage, kv_stages_.next(), p_.sizes.kv_stage);
    emit(StepKind::read_kv, visit, visit.layer, k, {{rows, kv_block(visit, k, Tier::disk)}, {from_disk}});
    load.reads.push_back(from_disk);
  }
  emit(StepKind::load_kv, visit, visit.layer, k, load);
}

void BlockScheduleBuilder::emit_store_kv(const Visit& visit, GpuBatchId k, BufferId slot) {
  if (visit.token_step.value + 1 == end_step() && !p_.continues) return;  // never read again
  const BufferId rows = batch(visit.token_step, visit.micro_batch, k);
  Uses store{{rows, slot}, {kv_block(visit, k, Tier::host)}};
  if (p_.host_attention.any && visit.token_step.value == 0) store.writes.push_back(kv_cpu(visit, k));
  if (!p_.kv.disk) {
    emit(StepKind::store_kv, visit, visit.layer, k, store);
    return;
  }
  const BufferId to_disk = stage(BufferKind::kv_write_stage, kv_write_stages_.next(), p_.sizes.kv_stage);
  store.writes.push_back(to_disk);
  emit(StepKind::store_kv, visit, visit.layer, k, store);
  emit(StepKind::write_kv, visit, visit.layer, k, {{rows, to_disk}, {kv_block(visit, k, Tier::disk)}});
}

}  // namespace optpipe::schedule
