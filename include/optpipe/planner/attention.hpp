// How much of the KV cache on the host CPU cores attend to, so that they and the link to the GPU finish a
// token step together.
#pragma once

#include <vector>

#include "optpipe/memory/policy.hpp"
#include "optpipe/memory/round.hpp"
#include "optpipe/model/slice.hpp"
#include "optpipe/planner/backend.hpp"

namespace optpipe::planner {

// Bytes a second of one rank, while both go on at once: copies from host memory to the GPU, and keys and
// values in the policy's format that the rank's cores attend to. Cores and copies share the memory, so each
// is less than alone.
struct AttentionCeilings {
  double link_bytes_s = 0;
  double cpu_bytes_s = 0;
};
// Of a rank's threads, those that attend: some cores are left to the threads that issue copies and kernels
// and to MPI, which a team of all cores would make wait, and all of a step with them.
int attending_threads(int threads);

// Of a rank with so many cores next to its GPU, from measurements (docs/attention.md).
AttentionCeilings described_ceilings(int cores);

// Bytes that a token step of all GPU batches moves.
struct StepTraffic {
  double link = 0;     // what crosses to the GPU in any case: weights, keys and values from disk
  double host_kv = 0;  // keys and values on the host
};

// The share s with which both take as long: (link + (1 - s) · kv) / link rate = s · kv / cpu rate; 0 to 1.
double balanced_share(const StepTraffic& traffic, const AttentionCeilings& ceilings);

// Of the whole model and of the round that comes first; `weights`: the format of the checkpoint.
StepTraffic step_traffic(const model::ModelConfig& config, const std::vector<model::StageSlice>& slices,
                         const memory::Policy& policy, const memory::Round& round, DType weights,
                         Backend backend);

// Whether nothing is left to choose.
bool is_settled(const memory::Policy& policy);

// The policy with its place of attention chosen: none that is automatic, none without a share. On the CPU
// backend nothing crosses a link, so automatic means there what AttentionPlace::gpu does.
memory::Policy settle_attention(memory::Policy policy, const model::ModelConfig& config,
                                const std::vector<model::StageSlice>& slices,
                                const std::vector<memory::Round>& rounds, DType weights, Backend backend,
                                const AttentionCeilings& ceilings);

}  // namespace optpipe::planner
