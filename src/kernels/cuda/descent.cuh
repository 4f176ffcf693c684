// Finding a place in the order of likelihood without sorting: the block walks down the bits of the keys, four
// at a time, and adds up what lies in each of the sixteen parts.
#pragma once

#include "kernels/cuda/order_key.cuh"
#include "kernels/cuda/reduce.cuh"

namespace optpipe::kernels::cuda {

// A row of logits divided by the temperature, as the threads of a block see it.
struct ScaledRow {
  const float* logits;
  int count;
  float temperature;
  double most;          // the largest
  std::uint32_t least;  // the smallest key admitted (top-k)

  // Calls visit(token, key, logit) for this thread's share of the admitted tokens, which lie blockDim.x
  // apart.
  template <class Visit>
  __device__ void visit_strided(Visit visit) const {
    for (int i = threadIdx.x; i < count; i += blockDim.x) see(i, visit);
  }
  // The same for a contiguous share: shares of consecutive threads follow each other.
  template <class Visit>
  __device__ void visit_contiguous(Visit visit) const {
    const int share = (count + static_cast<int>(blockDim.x) - 1) / static_cast<int>(blockDim.x);
    const int begin = static_cast<int>(threadIdx.x) * share;
    for (int i = begin; i < min(begin + share, count); ++i) see(i, visit);
  }
  __device__ double weight(float logit) const { return exp(static_cast<double>(logit) - most); }

 private:
  template <class Visit>
  __device__ void see(int i, Visit& visit) const {
    const float logit = __fdiv_rn(logits[i], temperature);
    if (isnan(logit)) return;
    const std::uint32_t key = key_of(logit);
    if (key >= least) visit(i, key, logit);
  }
};

// All tokens of one logit: the first ones, going down, that together with those above reach a target.
struct Level {
  bool found = false;
  std::uint32_t key = 0;
  double above = 0;  // measure of all tokens with larger logits
  double here = 0;   // measure of the tokens of this logit
};

// measure(logit): what a token counts for. `scratch`: 32 doubles of shared memory.
template <class Measure>
__device__ Level descend(const ScaledRow& row, Measure measure, double target, double* scratch) {
  Level level;
  for (int shift = 28; shift >= 0; shift -= 4) {
    double parts[16] = {};
    row.visit_strided([&](int, std::uint32_t key, float logit) {
      if (shift < 28 && key >> (shift + 4) != level.key) return;
      const unsigned digit = key >> shift & 15;
      const double value = measure(logit);
#pragma unroll
      for (unsigned d = 0; d < 16; ++d) parts[d] += d == digit ? value : 0;
    });
    level.found = false;
    unsigned chosen = 0;
#pragma unroll
    for (int d = 15; d >= 0; --d) {
      const double part = block_sum(parts[d], scratch);
      if (level.found || part == 0) continue;
      if (level.above + part >= target) {
        level.found = true;
        level.here = part;
        chosen = static_cast<unsigned>(d);
      } else {
        level.above += part;
      }
    }
    if (!level.found) return level;
    level.key = level.key << 4 | chosen;
  }
  return level;
}

}  // namespace optpipe::kernels::cuda
