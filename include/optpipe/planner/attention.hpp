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
// values in the policy's format that so many of the rank's threads attend to. Cores and copies share the
// memory, so each is less than alone, which is what one has once the other is done; 0: not known, no more
// than beside the other.
struct AttentionCeilings {
  double link_bytes_s = 0;
  double cpu_bytes_s = 0;
  double link_alone_bytes_s = 0;
  double cpu_alone_bytes_s = 0;
  int threads = 0;  // 0: as many as attending_threads() says
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

// What such a step takes: while both go on each has its rate beside the other, then the rest its own.
double step_seconds(const StepTraffic& traffic, const AttentionCeilings& ceilings, double share);

// The share to take: all (1) or none (0) where no other one is better by more than kLeastGain, for parts of
// sequences are small copies and more steps; else the balanced one. It is of whole heads by being so on
// average (memory/kv_layout).
inline constexpr double kLeastGain = 0.02;
double best_share(const StepTraffic& traffic, const AttentionCeilings& ceilings);

// The ceilings to go on with: of so many threads as make a step fastest, or of fewer if it takes but
// kFewerThreadsMayCost more with them; cores that do not read leave memory to copies. `measured`: by rising
// numbers of threads, at least one; lines between them.
inline constexpr double kFewerThreadsMayCost = 0.01;
AttentionCeilings choose_threads(const StepTraffic& traffic, const std::vector<AttentionCeilings>& measured);

// Of the whole model and of the round that comes first; `weights`: the format of the checkpoint.
StepTraffic step_traffic(const model::ModelConfig& config, const std::vector<model::StageSlice>& slices,
                         const memory::Policy& policy, const memory::Round& round, DType weights,
                         Backend backend);

// Whether nothing is left to choose.
bool is_settled(const memory::Policy& policy);

// The policy with its place of attention and its threads chosen: none that is automatic, none without a
// share. `ceilings`: as for choose_threads(). On the CPU backend nothing crosses a link, so automatic means
// there what AttentionPlace::gpu does.
memory::Policy settle_attention(memory::Policy policy, const model::ModelConfig& config,
                                const std::vector<model::StageSlice>& slices,
                                const std::vector<memory::Round>& rounds, DType weights, Backend backend,
                                const std::vector<AttentionCeilings>& ceilings);

}  // namespace optpipe::planner
