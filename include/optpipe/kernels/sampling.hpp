// Choosing the next token from logits.
#pragma once

#include <cstdint>
#include <span>

namespace optpipe::kernels {

using Token = std::int32_t;

struct SamplingOptions {
  bool sample = false;     // false: the largest logit, the first one if several are equal
  float temperature = 1;   // logits are divided by it; > 0
  std::int64_t top_k = 0;  // draw among the k largest logits, and all equal to the k-th; 0: all
  float top_p = 1;  // draw among the smallest set of likeliest tokens that holds this probability; in (0, 1]
  std::uint64_t seed = 0;
};

// Throws UsageError where an option is outside its range.
void check(const SamplingOptions& options);

// The token of prompt `sequence` at `step`, by temperature, top-k and top-p in this order. The random number
// is Philox4x32-10 keyed by the seed at counter (sequence, step), so the token depends on the arguments
// alone: not on the batch, the order of calls, the rank or the number of threads. Logits that are NaN are
// never drawn. `logits`: at least one, in fp32, one a token of the vocabulary. Options are valid.
Token sample_token(std::span<const float> logits, const SamplingOptions& options, std::uint64_t sequence,
                   std::uint64_t step);

}  // namespace optpipe::kernels
