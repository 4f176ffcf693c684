#include "optpipe/kernels/cpu.hpp"
#include "unit/kernels_cuda/device.hpp"

namespace optpipe::kernels::cuda {
namespace {

using testing::Array;
using testing::Halves;
using testing::relative_error;

class LayerNorm : public testing::OnGpu {
 protected:
  // Rows whose mean is far from 0 show whether the variance is computed from differences.
  Halves rows(std::int64_t m, std::int64_t h, float offset = 0) {
    Halves x(random, m * h, 2);
    for (std::size_t i = 0; i < x.bits.size(); ++i) {
      x.bits[i] = float_to_half(x.values[i] + offset);
      x.values[i] = half_to_float(x.bits[i]);
    }
    return x;
  }
  std::vector<double> expected(const Halves& x, std::int64_t m, std::int64_t h, const Halves* weight,
                               const Halves* bias) const {
    std::vector<float> out(x.values.size());
    kernels::layer_norm(x.values.data(), m, h, {DType::f16, weight ? weight->bytes() : nullptr},
                        {DType::f16, bias ? bias->bytes() : nullptr}, out.data(), 2);
    return testing::widen(out);
  }
};

TEST_F(LayerNorm, EqualsTheCpus) {
  for (const std::int64_t h : {1, 7, 64, 80, 192, 768, 1000, 2048, 2560, 4096, 7168, 12288, 12292, 20480}) {
    const std::int64_t m = 5;
    const Halves x = rows(m, h, h % 3 == 0 ? 100 : 0), weight(random, h), bias(random, h);
    const auto out = Array<Half>::filled(m * h, testing::kPoison);
    const auto device_x = x.upload(), device_weight = weight.upload(), device_bias = bias.upload();
    layer_norm(context(), device_x.get(), m, h, device_weight.get(), device_bias.get(), out.get());
    EXPECT_LT(relative_error(testing::widen(out.values()), expected(x, m, h, &weight, &bias)),
              testing::kTolerance)
        << "h " << h;
  }
}

TEST_F(LayerNorm, WeightAndBiasMayBeAbsentAndOutMayBeX) {
  for (const std::int64_t h : {512, 515}) {
    const Halves x = rows(3, h);
    const auto device_x = x.upload();
    layer_norm(context(), device_x.get(), 3, h, nullptr, nullptr, device_x.get());
    EXPECT_LT(relative_error(testing::widen(device_x.values()), expected(x, 3, h, nullptr, nullptr)),
              testing::kTolerance);
  }
}

TEST_F(LayerNorm, RowsMayBeUnaligned) {
  const std::int64_t h = 256;
  const Halves x = rows(4, h), weight(random, h);
  std::vector<Half> shifted(1, testing::kPoison);
  shifted.insert(shifted.end(), x.bits.begin(), x.bits.end());
  const Array<Half> device_x(shifted);
  const auto device_weight = weight.upload(), out = Array<Half>::filled(4 * h, testing::kPoison);
  layer_norm(context(), device_x.at(1), 4, h, device_weight.get(), nullptr, out.get());
  EXPECT_LT(relative_error(testing::widen(out.values()), expected(x, 4, h, &weight, nullptr)),
            testing::kTolerance);
}

}  // namespace
}  // namespace optpipe::kernels::cuda
