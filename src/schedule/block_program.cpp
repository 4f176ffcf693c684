#include "schedule/block_program.hpp"

#include "optpipe/base/check.hpp"

namespace optpipe::schedule {

BufferId BlockProgram::buffer(BufferKind kind, std::int64_t index, Tier tier, Bytes bytes) {
  const auto [entry, is_new] =
      ids_.try_emplace({kind, index}, BufferId(static_cast<std::int64_t>(program_.buffers.size())));
  if (is_new) program_.buffers.push_back({kind, static_cast<std::int32_t>(index), tier, bytes});
  return entry->second;
}

BufferId BlockProgram::weight_slot(std::int32_t slot) {
  return buffer(BufferKind::weight_slot, slot, Tier::device, p_.sizes.weight_slot);
}

BufferId BlockProgram::hidden_work(std::int32_t slot) {
  return buffer(BufferKind::hidden_work, slot, Tier::device, p_.sizes.hidden_work);
}

std::int64_t BlockProgram::batch_index(MicroBatchId m, GpuBatchId k) const {
  return m.value * p_.gpu_batches + k.value;
}

std::int64_t BlockProgram::home_of(MicroBatchId m, GpuBatchId k) const {
  return parks(p_) ? batch_index(m, k) : k.value;
}

BufferId BlockProgram::hidden_home(MicroBatchId m, GpuBatchId k) {
  return buffer(BufferKind::hidden_home, home_of(m, k), Tier::host,
                p_.sizes.hidden_home[0] + p_.sizes.hidden_home[1]);
}

BufferId BlockProgram::hidden_disk(MicroBatchId m, GpuBatchId k) {
  return buffer(BufferKind::hidden_disk, home_of(m, k), Tier::disk, p_.sizes.hidden_home[2]);
}

BufferId BlockProgram::stage(BufferKind kind, std::int32_t slot, Bytes bytes) {
  return buffer(kind, slot, Tier::host, bytes);
}

BufferId BlockProgram::attention() {
  return buffer(BufferKind::attention, 0, Tier::device, p_.sizes.attention);
}
BufferId BlockProgram::attention(const UnderWay& pass) {
  return buffer(BufferKind::attention, 1 + pass.slot, Tier::device, p_.sizes.attention_decode);
}

BufferId BlockProgram::host_rows(const UnderWay& pass) {
  return buffer(BufferKind::host_rows, pass.slot, Tier::host, p_.sizes.host_rows);
}

BufferId BlockProgram::batch(TokenStep t, MicroBatchId m, GpuBatchId k) {
  return buffer(BufferKind::batch, batch_index(m, k) * 2 + t.value % 2, Tier::host, 0);
}

BufferId BlockProgram::tokens(MicroBatchId m, GpuBatchId k) {
  return buffer(BufferKind::tokens, batch_index(m, k), Tier::host, 0);
}

BufferId BlockProgram::kv_block(const Visit& visit, GpuBatchId k, Tier tier) {
  constexpr std::array kinds{BufferKind::kv_device, BufferKind::kv_host, BufferKind::kv_disk};
  const std::int64_t layer = layer_in_slice(visit);
  auto bytes = p_.sizes.kv_block ? p_.sizes.kv_block(visit.micro_batch, k, layer) : std::array<Bytes, 3>{};
  bytes[static_cast<std::size_t>(Tier::host)] -= cpu_bytes(visit, k);
  return buffer(kinds[static_cast<std::size_t>(tier)], block_index(visit, k), tier,
                bytes[static_cast<std::size_t>(tier)]);
}

BufferId BlockProgram::kv_cpu(const Visit& visit, GpuBatchId k) {
  return buffer(BufferKind::kv_cpu, block_index(visit, k), Tier::host, cpu_bytes(visit, k));
}

Bytes BlockProgram::cpu_bytes(const Visit& visit, GpuBatchId k) const {
  return p_.sizes.kv_cpu ? p_.sizes.kv_cpu(visit.micro_batch, k, layer_in_slice(visit)) : 0;
}

std::int64_t BlockProgram::block_index(const Visit& visit, GpuBatchId k) const {
  return batch_index(visit.micro_batch, k) * p_.slice.layers + layer_in_slice(visit);
}

BufferId BlockProgram::kv_slot(std::int32_t slot) {
  return buffer(BufferKind::kv_slot, slot, Tier::device, p_.sizes.kv_slot);
}

namespace {

bool takes_rows(StepKind kind) {
  return kind != StepKind::read_weights && kind != StepKind::load_weights && kind != StepKind::send_tokens;
}

}  // namespace

void BlockProgram::emit(StepKind kind, const Visit& visit, LayerId layer, GpuBatchId k, const Uses& uses,
                        int part) {
  Step step;
  step.kind = kind;
  step.queue = queue_of(kind);
  if (takes_rows(kind)) {
    step.part = visit.part;
    step.parts = visit.parts;
  } else {
    step.part = static_cast<std::int16_t>(part);
  }
  step.token_step = visit.token_step;
  step.micro_batch = visit.micro_batch;
  step.layer = layer;
  step.gpu_batch = k;
  OPTPIPE_CHECK(uses.reads.size() + uses.writes.size() <= Step::kMaxAccesses, "step {} uses too many buffers",
                name_of(kind));
  for (const BufferId id : uses.reads) step.access_list[step.access_count++] = {id, false};
  for (const BufferId id : uses.writes) step.access_list[step.access_count++] = {id, true};
  program_.steps.push_back(step);
}

}  // namespace optpipe::schedule
