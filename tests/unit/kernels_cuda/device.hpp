// What tests of CUDA kernels share: a stream with a context, arrays on the device, and the skip where there
// is none.
#pragma once

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include "optpipe/kernels/cuda.hpp"
#include "unit/kernels/support.hpp"

namespace optpipe::kernels::cuda::testing {

using kernels::testing::Numbers;
using kernels::testing::Random;
using kernels::testing::relative_error;

// Rounding a result to fp16 changes it by up to 2^-11 of itself; results here are rounded once or twice.
inline constexpr double kRounding = 4.9e-4;
inline constexpr double kTolerance = 2 * kRounding;
inline constexpr Half kPoison = 0x7e00;  // NaN

void require(cudaError_t status);  // throws with the error's text

// Elements on the device.
template <class T>
class Array {
 public:
  explicit Array(std::span<const T> values) : Array(values.size()) {
    require(cudaMemcpy(data_.get(), values.data(), values.size_bytes(), cudaMemcpyHostToDevice));
    // From pageable memory the copy may still be under way, and other streams do not wait for it.
    require(cudaDeviceSynchronize());
  }
  explicit Array(const std::vector<T>& values) : Array(std::span<const T>(values)) {}
  static Array filled(std::int64_t count, T value) {
    return Array(std::vector<T>(static_cast<std::size_t>(count), value));
  }

  T* get() const { return data_.get(); }
  T* at(std::int64_t i) const { return data_.get() + i; }
  std::vector<T> values() const {
    std::vector<T> result(count_);
    require(cudaDeviceSynchronize());
    require(cudaMemcpy(result.data(), data_.get(), count_ * sizeof(T), cudaMemcpyDeviceToHost));
    return result;
  }

 private:
  struct Free {
    void operator()(T* data) const { (void)cudaFree(data); }
  };
  explicit Array(std::size_t count) : count_(count) {
    void* data = nullptr;
    require(cudaMalloc(&data, std::max<std::size_t>(1, count * sizeof(T))));
    data_.reset(static_cast<T*>(data));
  }

  std::size_t count_;
  std::unique_ptr<T, Free> data_;
};

// Random halves, and what they are.
struct Halves {
  std::vector<Half> bits;
  std::vector<float> values;

  Halves(Random& random, std::int64_t count, float scale = 1);
  Array<Half> upload() const { return Array<Half>(bits); }
  const std::byte* bytes() const { return reinterpret_cast<const std::byte*>(bits.data()); }
};

std::vector<float> widen(const std::vector<Half>& bits);
std::vector<double> widen(const std::vector<float>& values);

// Of `rows` rows of `stride` elements the first `columns` each.
template <class T>
std::vector<T> compact(const std::vector<T>& values, std::int64_t columns, std::int64_t stride) {
  std::vector<T> result;
  for (std::size_t row = 0; row < values.size(); row += static_cast<std::size_t>(stride))
    result.insert(result.end(), values.begin() + static_cast<std::ptrdiff_t>(row),
                  values.begin() + static_cast<std::ptrdiff_t>(row) + columns);
  return result;
}

class OnGpu : public ::testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;
  Context& context() { return *context_; }
  Random random{20240607};

 private:
  Stream stream_ = nullptr;
  std::unique_ptr<Context> context_;
};

}  // namespace optpipe::kernels::cuda::testing
