// The schedule of one rank, as data: a list of steps that interpreters (executors, the simulator) carry out.
//
// Steps stand in an order in which one thread could run them. Each also belongs to a queue; a queue runs its
// steps in that order, and different queues run at the same time, held together only by each step's `after`
// list. A program knows neither CUDA nor MPI. It prints as text (text.hpp) and is checked before it runs
// (validate.hpp).
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "optpipe/base/ids.hpp"
#include "optpipe/base/units.hpp"
#include "optpipe/memory/policy.hpp"

namespace optpipe::schedule {

// host: work of CPU cores beside the device's computation.
enum class Queue : std::uint8_t { compute, load, store, disk_read, disk_write, recv, send, host };
inline constexpr std::size_t kQueues = 8;

enum class StepKind : std::uint8_t {
  // weights of a layer, or of the head (layer = end of the slice)
  read_weights,  // disk → weight stage
  load_weights,  // host, weight stage → weight slot; one part of several
  // keys and values of one layer and GPU batch
  read_kv,   // disk → KV stage
  load_kv,   // host, KV stage → KV slot
  store_kv,  // new rows: KV slot → host, KV write stage
  write_kv,  // KV write stage → disk
  // hidden states between layers
  read_hidden,   // disk → hidden stage
  load_hidden,   // home, hidden stage → work buffer
  store_hidden,  // work buffer → home, hidden write stage
  write_hidden,  // hidden write stage → disk
  // computation
  embed,         // token ids → work buffer
  project_qkv,   // norm, q, k, v; new rows of k and v go to their cache
  attend,        // q and the cache → attention output
  feed_forward,  // output projection, residual, norm, fc1, fc2, residual
  // attention on CPU cores over some heads of the cache, in decode (builder.hpp)
  fetch_qkv,         // attention buffer → host rows
  attend_host,       // appends k and v to the cache, attends; host rows: q, k, v → output
  return_attention,  // host rows → attention buffer
  sample,            // final norm, LM head, choice of the next token
  accept,            // first stage: takes a new token, decides which sequences go on
  // network
  recv_hidden,  // from the previous stage, with the list of sequences still running
  send_hidden,  // to the next stage
  recv_tokens,  // first stage, from the last
  send_tokens,  // last stage, to the first
};
inline constexpr std::size_t kStepKinds = static_cast<std::size_t>(StepKind::send_tokens) + 1;

enum class BufferKind : std::uint8_t {
  weight_slot,         // [slot]                device
  weight_stage,        // [slot]                host
  hidden_work,         // [slot]                device
  hidden_home,         // [GPU batch]           the policy's tiers
  hidden_stage,        // [slot]                host
  hidden_write_stage,  // [slot]                host
  attention,       // [slot]                device: q, then the attention's output. 0: of any batch; others
                   //                       of decode steps with attention on the host: q, k, v, output
  host_rows,       // [slot]                host: q, k and v of a decode step, then the attention's output
  kv_device,       // [block]               device; block = (micro-batch, GPU batch, layer)
  kv_host,         // [block]               host: what the device attends to
  kv_cpu,          // [block]               host: what CPU cores attend to
  kv_disk,         // [block]               disk
  kv_slot,         // [slot]                device: the blocks' offloaded part while in use
  kv_stage,        // [slot]                host
  kv_write_stage,  // [slot]                host
  hidden_disk,     // [GPU batch]           disk
  batch,           // [micro-batch, GPU batch, parity of the token step]  host: sequences still running
  tokens,          // [micro-batch, GPU batch]  host: ids of the newest tokens
};
inline constexpr std::size_t kBufferKinds = static_cast<std::size_t>(BufferKind::tokens) + 1;

struct Buffer {
  BufferKind kind{};
  std::int32_t index = 0;
  memory::Tier tier{};
  Bytes bytes = 0;
};

struct Access {
  BufferId buffer;
  bool write = false;
};

struct Step {
  static constexpr std::size_t kMaxAccesses = 8;

  StepKind kind{};
  Queue queue{};
  std::uint8_t access_count = 0;
  // load_weights: of the program's weight_parts. In prefill, where GPU batches are cut (parts > 1): the step
  // is of one part's sequences (memory::places_of_part).
  std::int16_t part = 0, parts = 1;
  TokenStep token_step;
  MicroBatchId micro_batch;
  LayerId layer;  // over the whole model; end of the slice: the head; none: before the first layer
  GpuBatchId gpu_batch;
  std::array<Access, kMaxAccesses> access_list{};
  // The last step of each queue that must be complete before this one starts (none: -1). One entry a queue is
  // enough, because queues run in order.
  std::array<StepId, kQueues> after{};

  std::span<const Access> accesses() const { return {access_list.data(), access_count}; }
};

// Which slot of a ring a step uses is found through its accesses.
struct Program {
  Rank rank{0};
  int ranks = 1;
  std::int32_t weight_parts = 1;  // a slot is filled by so many load_weights steps
  std::vector<Buffer> buffers;
  std::vector<Step> steps;

  const Buffer& buffer(BufferId id) const { return buffers[static_cast<std::size_t>(id.value)]; }
  const Step& step(StepId id) const { return steps[static_cast<std::size_t>(id.value)]; }
  // Index of the buffer of `kind` that the step uses, or -1.
  std::int32_t index_of(const Step& step, BufferKind kind) const;
  bool writes(const Step& step, BufferKind kind) const;
};

const char* name_of(Queue queue);
const char* name_of(StepKind kind);
const char* name_of(BufferKind kind);
constexpr bool computes(Queue queue) { return queue == Queue::compute || queue == Queue::host; }
Queue queue_of(StepKind kind);  // where steps of this kind run

}  // namespace optpipe::schedule
