// Builds the program of a stage, contiguous or looped (model/slice.hpp): the block schedule, layer outer, GPU
// batch inner. A looped stage takes all micro-batches through one run of its layers before it goes on to the
// next run. In prefill a micro-batch may go in pieces: piece outer, layer inner, so that the next stage
// begins with the first piece while this one computes the others.
#pragma once

#include <array>
#include <cstdint>
#include <functional>

#include "optpipe/model/slice.hpp"
#include "optpipe/schedule/program.hpp"

namespace optpipe::schedule {

// Which part of a class of data must be brought to the device for use, and whether some of it comes from
// disk.
struct Offload {
  bool any = false;
  bool disk = false;
};

// Attention on CPU cores, in decode, over the part of each KV block that a policy gives them. Several GPU
// batches are then under way at once: while the cores attend for one, the device takes up the next.
struct HostAttention {
  bool any = false;
  bool kv_streams = true;  // some offloaded heads still pass through KV slots in decode
  int in_flight = 3;       // GPU batches between projection and feed-forward, at most
};

// Everything that the schedule of one stage depends on.
struct StageParameters {
  Rank rank{0};
  int ranks = 1;
  model::StageSlice slice;
  std::int64_t first_token_step = 0;  // later ones: keys and values of those before are stored already
  std::int64_t token_steps = 1;
  bool continues = false;  // another program follows behind the last token step
  std::int64_t micro_batches = 1;
  std::int64_t gpu_batches = 1;
  memory::PrefillCut prefill;  // of token step 0; the same on all ranks
  Offload layer_weights, head_weights, kv, hidden;
  HostAttention host_attention;
  bool attend_uses_weights = false;  // attention multiplies by the layer's weights too (the X cache)
  int weight_slots = 2;              // layers whose streamed weights are on the device at once
  int kv_slots = 3;                  // GPU batches whose offloaded KV is on the device at once
  int hidden_slots =
      3;  // GPU batches whose hidden states are on the device at once, where they are offloaded

  // Bytes of buffers, for the validator's account; what is not known may stay 0.
  struct Sizes {
    Bytes weight_slot = 0, weight_stage = 0;
    Bytes hidden_work = 0, hidden_stage = 0;
    std::array<Bytes, 3> hidden_home{};  // of one GPU batch
    Bytes attention = 0;
    Bytes attention_decode = 0, host_rows = 0;  // of one decode step, with attention on the host
    Bytes kv_slot = 0, kv_stage = 0;
    std::function<std::array<Bytes, 3>(MicroBatchId, GpuBatchId, std::int64_t layer_in_slice)> kv_block;
    std::function<Bytes(MicroBatchId, GpuBatchId, std::int64_t layer_in_slice)>
        kv_cpu;  // of the block's bytes on the host
  } sizes;
};

Program build_program(const StageParameters& parameters);

// Buffers for the hidden states of a GPU batch on the device that the program uses.
std::int64_t hidden_work_buffers(const StageParameters& parameters);
// Homes of a GPU batch's hidden states that it uses where they are offloaded.
std::int64_t hidden_homes(const StageParameters& parameters);

}  // namespace optpipe::schedule
