#include "optpipe/kernels/cpu.hpp"
#include "unit/kernels_cuda/device.hpp"

namespace optpipe::kernels::cuda {
namespace {

using testing::Array;
using testing::compact;
using testing::Halves;
using testing::kPoison;
using testing::relative_error;

struct Shape {
  std::int64_t m, n, k, padding = 0;
  std::vector<std::int64_t> cuts = {};  // rows of the weight's first pieces
  bool with_bias = true;
};

class Linear : public testing::OnGpu {
 protected:
  struct Operands {
    Shape shape;
    Halves x, weight, bias, residual;

    Operands(testing::Random& random, const Shape& s)
        : shape(s),
          x(random, s.m * x_stride()),
          weight(random, s.n * s.k, 0.1f),
          bias(random, s.n),
          residual(random, s.m * out_stride()) {}
    std::int64_t x_stride() const { return shape.k + shape.padding; }
    std::int64_t out_stride() const { return shape.n + shape.padding; }

    // Pieces apart from each other in memory.
    Matrix matrix(std::vector<Array<Half>>& arrays) const {
      Matrix result{.columns = shape.k};
      auto cuts = shape.cuts;
      cuts.push_back(shape.n);
      std::int64_t row = 0;
      for (std::size_t i = 0; i < cuts.size(); ++i) {
        const auto rows = i + 1 < cuts.size() ? cuts[i] : shape.n - row;
        arrays.emplace_back(
            std::span(weight.bits)
                .subspan(static_cast<std::size_t>(row * shape.k), static_cast<std::size_t>(rows * shape.k)));
        result.pieces[i] = {arrays.back().get(), rows};
        row += rows;
      }
      return result;
    }

    std::vector<double> expected(Epilogue epilogue) const {
      const MatrixPiece whole{weight.bytes(), shape.n};
      const MatrixView view{DType::f16, shape.n, shape.k, {&whole, 1}};
      std::vector<float> out = residual.values;
      const VectorView bias_view{DType::f16, shape.with_bias ? bias.bytes() : nullptr};
      kernels::linear(x.values.data(), x_stride(), shape.m, view, bias_view, epilogue, out.data(),
                      out_stride(), 4);
      return testing::widen(compact(out, shape.n, out_stride()));
    }
  };

  void compare(const Shape& shape, Epilogue epilogue) {
    SCOPED_TRACE(::testing::Message() << "m " << shape.m << " n " << shape.n << " k " << shape.k << " pieces "
                                      << shape.cuts.size() + 1 << " epilogue " << static_cast<int>(epilogue));
    const Operands operands(random, shape);
    std::vector<Array<Half>> weights;
    const Matrix matrix = operands.matrix(weights);
    const auto x = operands.x.upload(), bias = operands.bias.upload();
    const auto out = epilogue == Epilogue::add
                         ? operands.residual.upload()
                         : Array<Half>::filled(shape.m * operands.out_stride(), kPoison);
    linear(context(), x.get(), operands.x_stride(), shape.m, matrix, shape.with_bias ? bias.get() : nullptr,
           epilogue, out.get(), operands.out_stride());
    const auto result = out.values();
    const auto actual = testing::widen(compact(result, shape.n, operands.out_stride()));
    EXPECT_LT(relative_error(actual, operands.expected(epilogue)), testing::kTolerance);
    for (std::int64_t row = 0; row < shape.m && shape.padding > 0; ++row) {
      const auto behind = static_cast<std::size_t>(row * operands.out_stride() + shape.n);
      EXPECT_EQ(result[behind], epilogue == Epilogue::add ? operands.residual.bits[behind] : kPoison);
    }
  }
};

constexpr Epilogue kEpilogues[] = {Epilogue::none, Epilogue::relu, Epilogue::gelu, Epilogue::add};

TEST_F(Linear, EqualsTheCpus) {
  for (const Epilogue epilogue : kEpilogues)
    for (const Shape& shape : {Shape{1, 768, 768}, Shape{48, 1024, 256}, Shape{130, 520, 192, 8},
                               Shape{.m = 24, .n = 256, .k = 512, .with_bias = false}})
      compare(shape, epilogue);
}

TEST_F(Linear, PiecesGiveTheWhole) {
  for (const Epilogue epilogue : kEpilogues) {
    compare({.m = 33, .n = 256, .k = 128, .cuts = {64}}, epilogue);
    compare({.m = 5, .n = 256, .k = 128, .cuts = {8, 120}}, epilogue);
  }
}

// Results, weights and biases that begin anywhere.
TEST_F(Linear, AnyAlignmentWorks) {
  for (const Epilogue epilogue : kEpilogues) {
    compare({.m = 7, .n = 131, .k = 64, .cuts = {3, 50}}, epilogue);
    compare({.m = 9, .n = 37, .k = 51, .padding = 3}, epilogue);
    compare({.m = 1, .n = 1, .k = 1}, epilogue);
  }
}

TEST_F(Linear, FloatResultsAreNotRounded) {
  for (const Shape& shape : {Shape{3, 4096, 192}, Shape{.m = 48, .n = 1000, .k = 512, .cuts = {504}},
                             Shape{.m = 2, .n = 77, .k = 33, .padding = 1, .cuts = {10}}}) {
    Operands operands(random, shape);
    operands.shape.with_bias = false;
    std::vector<Array<Half>> weights;
    const Matrix matrix = operands.matrix(weights);
    const auto x = operands.x.upload();
    const auto out = Array<float>::filled(shape.m * operands.out_stride(), kernels::testing::kPoison);
    linear_f32(context(), x.get(), operands.x_stride(), shape.m, matrix, out.get(), operands.out_stride());
    const auto actual = compact(out.values(), shape.n, operands.out_stride());
    EXPECT_LT(relative_error(actual, operands.expected(Epilogue::none)), 1e-6) << "n " << shape.n;
  }
}

TEST_F(Linear, NoRowsDoNothing) {
  const Matrix matrix{.columns = 8, .pieces = {Piece{nullptr, 8}}};
  linear(context(), nullptr, 8, 0, matrix, nullptr, Epilogue::none, nullptr, 8);
}

}  // namespace
}  // namespace optpipe::kernels::cuda
