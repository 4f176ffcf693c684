// A linear operation with random operands, and its result in double precision.
#pragma once

#include <cmath>

#include "optpipe/kernels/cpu.hpp"
#include "unit/kernels/support.hpp"

namespace optpipe::kernels::testing {

struct LinearCase {
  std::int64_t m, n, k;
  Epilogue epilogue = Epilogue::none;
  std::int64_t x_stride = k, out_stride = n;
  std::vector<float> x, residual;  // [m, x_stride], [m, out_stride]
  Numbers weight, bias;
  bool with_bias = true;
  bool prompt = false;  // by prompt_linear

  LinearCase(DType type, std::int64_t m_, std::int64_t n_, std::int64_t k_, std::int64_t padding = 0)
      : m(m_), n(n_), k(k_), x_stride(k_ + padding), out_stride(n_ + padding) {
    Random random(static_cast<std::uint64_t>(m * 1000003 + n * 1009 + k));
    x = random.floats(m * x_stride);
    residual = random.floats(m * out_stride);
    weight = random.numbers(type, n * k, 0.5f);
    bias = random.numbers(type, n);
  }

  VectorView bias_view() const { return {bias.type, with_bias ? bias.bytes.data() : nullptr}; }

  // Rows [first, first + count) in one call, or what is in `pieces` of the weight.
  std::vector<float> run(int threads, std::int64_t first, std::int64_t count,
                         std::span<const MatrixPiece> pieces = {}) const {
    const MatrixPiece whole{weight.bytes.data(), n};
    const MatrixView view{weight.type, n, k, pieces.empty() ? std::span(&whole, 1) : pieces};
    std::vector<float> out(static_cast<std::size_t>(count * out_stride), kPoison);
    if (epilogue == Epilogue::add)
      std::copy_n(residual.begin() + first * out_stride, count * out_stride, out.begin());
    const auto product = prompt ? prompt_linear : linear;
    product(x.data() + first * x_stride, x_stride, count, view, bias_view(), epilogue, out.data(), out_stride,
            threads);
    return out;
  }
  std::vector<float> run(int threads = 1) const { return run(threads, 0, m); }

  // The n columns of each row, without the padding between rows.
  std::vector<float> compact(const std::vector<float>& out) const {
    std::vector<float> result;
    for (std::size_t r = 0; r < out.size(); r += static_cast<std::size_t>(out_stride))
      result.insert(result.end(), out.begin() + static_cast<std::ptrdiff_t>(r),
                    out.begin() + static_cast<std::ptrdiff_t>(r) + n);
    return result;
  }

  double apply(double product, float before) const {
    switch (epilogue) {
      case Epilogue::none:
        return product;
      case Epilogue::relu:
        return product > 0 ? product : 0;
      case Epilogue::gelu:
        return product * 0.5 * (1 + std::erf(product / std::sqrt(2.0)));
      case Epilogue::add:
        return before + product;
    }
    return NAN;
  }

  struct Reference {
    std::vector<double> values, magnitudes;  // magnitudes: sums of the absolute values of all terms
  };
  Reference expected() const {
    Reference result;
    for (std::int64_t r = 0; r < m; ++r)
      for (std::int64_t c = 0; c < n; ++c) {
        const float before =
            epilogue == Epilogue::add ? residual[static_cast<std::size_t>(r * out_stride + c)] : 0;
        double sum = with_bias ? bias.values[static_cast<std::size_t>(c)] : 0;
        double magnitude = std::abs(sum) + std::abs(before);
        for (std::int64_t i = 0; i < k; ++i) {
          const double product = x[static_cast<std::size_t>(r * x_stride + i)] *
                                 weight.values[static_cast<std::size_t>(c * k + i)];
          sum += product;
          magnitude += std::abs(product);
        }
        result.values.push_back(apply(sum, before));
        result.magnitudes.push_back(magnitude);
      }
    return result;
  }
};

}  // namespace optpipe::kernels::testing
