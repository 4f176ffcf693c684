#include "unit/kernels_cuda/device.hpp"

#include <stdexcept>

namespace optpipe::kernels::cuda::testing {

void require(cudaError_t status) {
  if (status != cudaSuccess) throw std::runtime_error(cudaGetErrorString(status));
}

Halves::Halves(Random& random, std::int64_t count, float scale) {
  for (const float value : random.floats(count, scale)) {
    bits.push_back(float_to_half(value));
    values.push_back(half_to_float(bits.back()));
  }
}

std::vector<float> widen(const std::vector<Half>& bits) {
  std::vector<float> result;
  for (const Half value : bits) result.push_back(half_to_float(value));
  return result;
}

std::vector<double> widen(const std::vector<float>& values) { return {values.begin(), values.end()}; }

void OnGpu::SetUp() {
  if (device_count() == 0) GTEST_SKIP() << "no GPU here: CUDA kernels were not run";
  require(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
  context_ = std::make_unique<Context>(stream_);
}

void OnGpu::TearDown() {
  context_.reset();
  if (stream_ == nullptr) return;
  EXPECT_EQ(cudaStreamDestroy(stream_), cudaSuccess);
}

}  // namespace optpipe::kernels::cuda::testing
