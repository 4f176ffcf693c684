#include "kernels/cuda/launches.hpp"
#include "kernels/cuda/status.hpp"

namespace optpipe::kernels::cuda {
namespace {

constexpr int kThreads = 128;

__global__ void copy_words(uint4* to, const uint4* from, std::int64_t count) {
  const std::int64_t step = std::int64_t{gridDim.x} * kThreads;
  for (std::int64_t i = std::int64_t{blockIdx.x} * kThreads + threadIdx.x; i < count; i += step)
    to[i] = from[i];
}

}  // namespace

void launch_copy_words(void* to, const void* from, Bytes bytes, Stream stream) {
  const auto count = static_cast<std::int64_t>(bytes / sizeof(uint4));
  const std::int64_t blocks = (count + kThreads - 1) / kThreads;
  copy_words<<<static_cast<unsigned>(blocks < 32 ? blocks : 32), kThreads, 0, stream>>>(
      static_cast<uint4*>(to), static_cast<const uint4*>(from), count);
  check_launch("copy_words");
}

}  // namespace optpipe::kernels::cuda
