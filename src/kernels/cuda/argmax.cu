#include "kernels/cuda/largest.cuh"
#include "kernels/cuda/launches.hpp"
#include "kernels/cuda/status.hpp"

namespace optpipe::kernels::cuda {
namespace {

constexpr int kThreads = 1024;

__global__ void argmax_rows(const float* logits, int vocabulary, std::int64_t stride, Token* tokens) {
  __shared__ Largest scratch[32];
  const Largest largest = find_largest(logits + blockIdx.x * stride, vocabulary, scratch);
  if (threadIdx.x == 0) tokens[blockIdx.x] = largest.token;
}

}  // namespace

void launch_argmax(const float* logits, std::int64_t rows, std::int64_t vocabulary, std::int64_t stride,
                   Token* tokens, Stream stream) {
  argmax_rows<<<static_cast<unsigned>(rows), kThreads, 0, stream>>>(logits, static_cast<int>(vocabulary),
                                                                    stride, tokens);
  check_launch("argmax_rows");
}

}  // namespace optpipe::kernels::cuda
