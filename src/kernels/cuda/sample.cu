// Drawing a token: the steps of sample_token (kernels/cpu/sampling.cpp), a row of logits a block. Sums are in
// double precision and differ from the CPU's by their order alone, which is some 1e-12 of the whole; what
// lies within kMargin of a border is left undecided.
#include "kernels/cpu/philox.hpp"
#include "kernels/cuda/descent.cuh"
#include "kernels/cuda/largest.cuh"
#include "kernels/cuda/launches.hpp"
#include "kernels/cuda/status.hpp"

namespace optpipe::kernels::cuda {
namespace {

constexpr int kThreads = 1024;
constexpr double kMargin = 1e-10;  // of the whole

struct Scratch {
  Largest largest[32];
  double sums[32];
  Token token;
};

// The sums of all threads before this one, and of all.
struct Prefix {
  double before, whole;
};
__device__ Prefix scan(double mine, double* scratch) {
  const unsigned warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  double sum = mine;
#pragma unroll
  for (int offset = 1; offset < 32; offset *= 2) {
    const double other = __shfl_up_sync(0xffffffffu, sum, offset);
    if (static_cast<int>(lane) >= offset) sum += other;
  }
  __syncthreads();
  if (lane == 31) scratch[warp] = sum;
  __syncthreads();
  Prefix result{0, 0};
  for (unsigned w = 0; w < kThreads / 32; ++w) {
    if (w == warp) result.before = result.whole;
    result.whole += scratch[w];
  }
  result.before += sum - mine;
  return result;
}

// The smallest key among the k largest logits, and all equal to it.
__device__ std::uint32_t least_of_top(const ScaledRow& row, std::int64_t k, double* scratch) {
  const auto one = [](float) { return 1.0; };
  const Level level = descend(row, one, static_cast<double>(k), scratch);
  return level.found ? level.key : 0;  // fewer than k: all
}

// The token under `point` where tokens lie side by side in their own order.
__device__ Token draw_in_order(const ScaledRow& row, double point, double margin, Scratch& scratch) {
  double share = 0;
  row.visit_contiguous([&](int, std::uint32_t, float logit) { share += row.weight(logit); });
  const Prefix prefix = scan(share, scratch.sums);
  double begin = prefix.before;
  row.visit_contiguous([&](int token, std::uint32_t, float logit) {
    const double end = begin + row.weight(logit);
    if (point - begin > margin && end - point > margin) scratch.token = token;
    begin = end;
  });
  __syncthreads();
  return scratch.token;
}

// The `index`-th token (from 0) of this logit, in the tokens' order.
__device__ Token find_equal(const ScaledRow& row, std::uint32_t wanted, std::int64_t index,
                            Scratch& scratch) {
  int share = 0;
  row.visit_contiguous([&](int, std::uint32_t key, float) { share += key == wanted; });
  auto at = static_cast<std::int64_t>(scan(share, scratch.sums).before);
  row.visit_contiguous([&](int token, std::uint32_t key, float) {
    if (key != wanted) return;
    if (at == index) scratch.token = token;
    ++at;
  });
  __syncthreads();
  return scratch.token;
}

// How many whole weights fit below `offset`, which begins `offset` into tokens of equal weight; -1 where it
// is too close to a border.
__device__ std::int64_t whole_weights(double offset, double weight, double margin) {
  const double fits = floor(offset / weight);
  const double rest = offset - fits * weight;
  return rest > margin && weight - rest > margin ? static_cast<std::int64_t>(fits) : -1;
}

// The token under `uniform` of the likeliest ones that hold top_p, laid side by side from the likeliest down.
__device__ Token draw_likely(const ScaledRow& row, double top_p, double total, double uniform,
                             Scratch& scratch) {
  const double margin = kMargin * total;
  const auto weigh = [&](float logit) { return row.weight(logit); };
  const Level cut = descend(row, weigh, top_p * total, scratch.sums);
  if (!cut.found) return kUndecided;
  const double cut_weight = row.weight(value_of(cut.key));
  const std::int64_t passed = whole_weights(top_p * total - cut.above, cut_weight, margin);
  if (passed < 0) return kUndecided;
  const double held = cut.above + static_cast<double>(passed + 1) * cut_weight;

  const double point = uniform * held;
  const Level level = descend(row, weigh, point, scratch.sums);
  if (!level.found) return kUndecided;
  const std::int64_t index = whole_weights(point - level.above, row.weight(value_of(level.key)), margin);
  if (index < 0) return kUndecided;
  return find_equal(row, level.key, index, scratch);
}

__global__ void __launch_bounds__(kThreads)
    sample_rows(const float* logits, int vocabulary, std::int64_t stride, SamplingOptions options,
                const Draw* draws, Token* tokens) {
  __shared__ Scratch scratch;
  const float* row_logits = logits + blockIdx.x * stride;
  const Largest best = find_largest(row_logits, vocabulary, scratch.largest);
  const float most = __fdiv_rn(best.value, options.temperature);
  Token token = best.token;
  if (isfinite(most)) {
    if (threadIdx.x == 0) scratch.token = kUndecided;
    __syncthreads();
    ScaledRow row{row_logits, vocabulary, options.temperature, most, 0};
    if (options.top_k > 0) row.least = least_of_top(row, options.top_k, scratch.sums);
    double share = 0;
    row.visit_strided([&](int, std::uint32_t, float logit) { share += row.weight(logit); });
    const double total = block_sum(share, scratch.sums);
    const Draw draw = draws[blockIdx.x];
    const double random = uniform(options.seed, draw.sequence, draw.step);
    token = options.top_p >= 1 ? draw_in_order(row, random * total, kMargin * total, scratch)
                               : draw_likely(row, options.top_p, total, random, scratch);
  }
  if (threadIdx.x == 0) tokens[blockIdx.x] = token;
}

}  // namespace

void launch_sample(const float* logits, std::int64_t rows, std::int64_t vocabulary, std::int64_t stride,
                   const SamplingOptions& options, const Draw* draws, Token* tokens, Stream stream) {
  sample_rows<<<static_cast<unsigned>(rows), kThreads, 0, stream>>>(logits, static_cast<int>(vocabulary),
                                                                    stride, options, draws, tokens);
  check_launch("sample_rows");
}

}  // namespace optpipe::kernels::cuda
