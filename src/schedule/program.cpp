#include "optpipe/schedule/program.hpp"

#include <algorithm>

namespace optpipe::schedule {
namespace {

constexpr std::array<const char*, kQueues> kQueueNames{"compute",    "load", "store", "disk_read",
                                                       "disk_write", "recv", "send",  "host"};

struct KindFacts {
  const char* name;
  Queue queue;
};
constexpr std::array<KindFacts, kStepKinds> kKinds{{{"read_weights", Queue::disk_read},
                                                    {"load_weights", Queue::load},
                                                    {"read_kv", Queue::disk_read},
                                                    {"load_kv", Queue::load},
                                                    {"store_kv", Queue::store},
                                                    {"write_kv", Queue::disk_write},
                                                    {"read_hidden", Queue::disk_read},
                                                    {"load_hidden", Queue::load},
                                                    {"store_hidden", Queue::store},
                                                    {"write_hidden", Queue::disk_write},
                                                    {"embed", Queue::compute},
                                                    {"project_qkv", Queue::compute},
                                                    {"attend", Queue::compute},
                                                    {"feed_forward", Queue::compute},
                                                    {"fetch_qkv", Queue::store},
                                                    {"attend_host", Queue::host},
                                                    {"return_attention", Queue::compute},
                                                    {"sample", Queue::compute},
                                                    {"accept", Queue::compute},
                                                    {"recv_hidden", Queue::recv},
                                                    {"send_hidden", Queue::send},
                                                    {"recv_tokens", Queue::recv},
                                                    {"send_tokens", Queue::send}}};

constexpr std::array<const char*, kBufferKinds> kBufferNames{
    "weight_slot", "weight_stage", "hidden_work",    "hidden_home", "hidden_stage", "hidden_write_stage",
    "attention",   "host_rows",    "kv_device",      "kv_host",     "kv_cpu",       "kv_disk",
    "kv_slot",     "kv_stage",     "kv_write_stage", "hidden_disk", "batch",        "tokens"};

}  // namespace

const char* name_of(Queue queue) { return kQueueNames[static_cast<std::size_t>(queue)]; }
const char* name_of(StepKind kind) { return kKinds[static_cast<std::size_t>(kind)].name; }
const char* name_of(BufferKind kind) { return kBufferNames[static_cast<std::size_t>(kind)]; }
Queue queue_of(StepKind kind) { return kKinds[static_cast<std::size_t>(kind)].queue; }

std::int32_t Program::index_of(const Step& step, BufferKind kind) const {
  for (const Access& access : step.accesses())
    if (buffer(access.buffer).kind == kind) return buffer(access.buffer).index;
  return -1;
}

bool Program::writes(const Step& step, BufferKind kind) const {
  return std::ranges::any_of(step.accesses(), [&](const Access& access) {
    return access.write && buffer(access.buffer).kind == kind;
  });
}

}  // namespace optpipe::schedule
