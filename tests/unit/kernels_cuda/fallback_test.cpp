// Kernels for what the library does not take, whether or not it takes everything today.
#include <array>
#include <cmath>

#include "kernels/cuda/launches.hpp"
#include "optpipe/base/error.hpp"
#include "unit/kernels_cuda/device.hpp"

namespace optpipe::kernels::cuda {
namespace {

using testing::Array;
using testing::Halves;
using testing::relative_error;
using Fallback = testing::OnGpu;

TEST_F(Fallback, PlainProductMultipliesAnyShape) {
  for (const auto& [m, n, k] :
       {std::array<std::int64_t, 3>{1, 1, 1}, {17, 33, 65}, {64, 48, 32}, {3, 200, 7}}) {
    const std::int64_t x_stride = k + 2, out_stride = n + 1;
    const Halves x(random, m * x_stride), weight(random, n * k, 0.2f), before(random, m * out_stride);
    const auto device_x = x.upload(), device_weight = weight.upload();
    for (const bool add : {false, true}) {
      const auto out = add ? before.upload() : Array<Half>::filled(m * out_stride, testing::kPoison);
      const auto wide = Array<float>::filled(m * out_stride, kernels::testing::kPoison);
      Product product{.m = m,
                      .n = n,
                      .k = k,
                      .x_stride = x_stride,
                      .out_stride = out_stride,
                      .x = device_x.get(),
                      .weight = device_weight.get(),
                      .add = add,
                      .out = out.get()};
      launch_plain_product(product, context().stream());
      product.wide = true;
      product.add = false;
      product.out = wide.get();
      launch_plain_product(product, context().stream());
      std::vector<double> products, sums;
      for (std::int64_t r = 0; r < m; ++r) {
        for (std::int64_t c = 0; c < n; ++c) {
          double sum = 0;
          for (std::int64_t i = 0; i < k; ++i)
            sum += static_cast<double>(x.values[static_cast<std::size_t>(r * x_stride + i)]) *
                   weight.values[static_cast<std::size_t>(c * k + i)];
          products.push_back(sum);
          sums.push_back(sum + (add ? before.values[static_cast<std::size_t>(r * out_stride + c)] : 0));
        }
      }
      const auto halves = testing::widen(testing::compact(out.values(), n, out_stride));
      EXPECT_LT(relative_error(halves, sums), testing::kTolerance) << m << " " << n << " " << k;
      EXPECT_LT(relative_error(testing::compact(wide.values(), n, out_stride), products), 1e-6);
    }
  }
}

TEST_F(Fallback, EpilogueAddsBiasAndActivates) {
  for (const std::int64_t n : {64, 37}) {
    const std::int64_t m = 5, stride = n + 8;
    const Halves x(random, m * stride, 2), bias(random, n);
    const auto device_bias = bias.upload();
    for (const Activation activation : {Activation::none, Activation::relu, Activation::gelu}) {
      const auto out = x.upload();
      launch_epilogue(out.get(), m, n, stride, device_bias.get(), activation, context().stream());
      std::vector<double> expected;
      for (std::int64_t r = 0; r < m; ++r) {
        for (std::int64_t c = 0; c < n; ++c) {
          const double v = x.values[static_cast<std::size_t>(r * stride + c)] +
                           static_cast<double>(bias.values[static_cast<std::size_t>(c)]);
          expected.push_back(activation == Activation::relu   ? std::max(v, 0.0)
                             : activation == Activation::gelu ? v * 0.5 * (1 + std::erf(v / std::sqrt(2.0)))
                                                              : v);
        }
      }
      const auto result = out.values();
      EXPECT_LT(relative_error(testing::widen(testing::compact(result, n, stride)), expected),
                testing::kTolerance);
      EXPECT_EQ(result[static_cast<std::size_t>(n)], x.bits[static_cast<std::size_t>(n)]);
    }
  }
}

// The library's status does not get lost.
TEST_F(Fallback, FailedLaunchesThrow) {
  const Half* nowhere = nullptr;
  EXPECT_THROW(
      launch_layer_norm(nowhere, std::int64_t{1} << 31, 8, nullptr, nullptr, nullptr, context().stream()),
      SystemError);
}

}  // namespace
}  // namespace optpipe::kernels::cuda
