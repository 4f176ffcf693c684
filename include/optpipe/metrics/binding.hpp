// What holds a run up, and what would help: one sentence from measured times and the bytes behind them.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "optpipe/metrics/utilization.hpp"

namespace optpipe::metrics {

// A rank's decode phase, measured, and what is known of the work behind it.
struct RankWork {
  schedule::PhaseUse measured;
  // Of each queue's work, the share that moves or reads keys and values.
  std::array<double, schedule::kQueues> kv_share{};
  // Seconds that cores would need to attend to what is loaded of keys and values now; none: not known.
  std::optional<double> attention_on_cores_s;
};

// What else may be changed.
struct Freedom {
  bool on_gpu = false;
  bool through_host = false;        // hidden states between stages
  bool attention_on_cores = false;  // already
  bool quantized_weights = false, quantized_kv = false;
  std::int64_t ranks = 1;
  std::int64_t micro_batches = 1;
};

struct Binding {
  std::size_t rank = 0;
  schedule::Queue queue{};
  double share = 0;      // of the rank's decode phase in which the queue is busy
  bool waits = false;    // no queue is busy for most of the phase: the stages wait for each other
  std::string remedy;    // "attention on CPU cores (--cpu-cache-compute)"; empty: none is known
  double speedup = 1;    // of decode, at most, if the remedy were taken; 1: not known
  std::string sentence;  // all of it in words
};

// None where there was no decode. The rank and queue that are busy for the largest share bind. A remedy is
// judged by what it leaves on the binding queue, the other queues staying as they are; 4-bit rows are 36/128
// of 16-bit ones, and twice the GPU batches spread a load of weights over twice the prompts.
std::optional<Binding> find_binding(const std::vector<RankWork>& ranks, const Freedom& freedom);

}  // namespace optpipe::metrics
