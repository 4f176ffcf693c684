// What a benchmark runs: prompts of one length, all in flight at once.
#pragma once

#include <cstdint>
#include <vector>

#include "cli/options.hpp"
#include "optpipe/memory/round.hpp"
#include "optpipe/model/config.hpp"

namespace optpipe::cli {

struct Workload {
  std::int64_t prompts = 0;  // gpu_batch_size · gpu_batches · micro_batches
  std::int64_t prompt_len = 0;
  std::int64_t gen_len = 0;  // memory is taken for all of it
  std::int64_t run_len = 0;  // new tokens that are run: gen_len, or where it is cut
  memory::Round round;
  // Before anything is measured: all batches with prompts of at most 32 tokens, for three tokens, so that
  // every buffer, link and (in FlexGen's warm-up of one token not) decode step has been used once.
  memory::Round warm_up;

  bool is_cut() const { return run_len < gen_len; }
};

// Throws UsageError where prompts and new tokens exceed the model's positions.
Workload plan_workload(const BenchOptions& options, const model::ModelConfig& config, int ranks);

// Bytes of the hidden states that a micro-batch sends from stage to stage, for so many tokens a prompt.
Bytes micro_batch_bytes(const memory::Policy& policy, const model::ModelConfig& config, std::int64_t tokens,
                        DType hidden);

}  // namespace optpipe::cli
