// Choosing tokens: checks, which kernel, and the CPU's choice.
#include <vector>

#include "kernels/cuda/launches.hpp"
#include "kernels/cuda/status.hpp"
#include "optpipe/base/check.hpp"

namespace optpipe::kernels::cuda {
namespace {

void check_rows(std::int64_t vocabulary, std::int64_t stride) {
  constexpr std::int64_t kMostTokens = std::int64_t{1} << 30;
  OPTPIPE_CHECK(vocabulary > 0 && vocabulary <= kMostTokens && stride >= vocabulary,
                "{} logits with stride {}", vocabulary, stride);
}

}  // namespace

void argmax(Context& context, const float* logits, std::int64_t rows, std::int64_t vocabulary,
            std::int64_t stride, Token* tokens) {
  check_rows(vocabulary, stride);
  if (rows > 0) launch_argmax(logits, rows, vocabulary, stride, tokens, context.stream());
}

void sample(Context& context, const float* logits, std::int64_t rows, std::int64_t vocabulary,
            std::int64_t stride, const SamplingOptions& options, const Draw* draws, Token* tokens) {
  if (!options.sample) return argmax(context, logits, rows, vocabulary, stride, tokens);
  check_rows(vocabulary, stride);
  if (rows > 0) launch_sample(logits, rows, vocabulary, stride, options, draws, tokens, context.stream());
}

Token settle(Context& context, const float* logits, std::int64_t vocabulary, const SamplingOptions& options,
             Draw draw) {
  check_rows(vocabulary, vocabulary);
  std::vector<float> row(static_cast<std::size_t>(vocabulary));
  check(cudaMemcpyAsync(row.data(), logits, row.size() * sizeof(float), cudaMemcpyDeviceToHost,
                        context.stream()),
        "cudaMemcpyAsync of logits");
  check(cudaStreamSynchronize(context.stream()), "cudaStreamSynchronize");
  return sample_token(row, options, draw.sequence, draw.step);
}

}  // namespace optpipe::kernels::cuda
