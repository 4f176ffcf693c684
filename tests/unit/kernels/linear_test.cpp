#include "unit/kernels/linear_case.hpp"

namespace optpipe::kernels {
namespace {

using testing::kAllTypes;
using testing::LinearCase;
using testing::relative_error;

// Each step rounds by at most 2^-24 = 6e-8 of a partial sum, which is at most the sum of the terms' absolute
// values and usually far less, as the terms' signs are random. A few steps dominate where k is small, the
// bias, the residual and the activation add a rounding each: 4 roundings of everything.
constexpr double kRounding = 4 * 0x1p-24;
// Over a whole result: a lane's chain has up to 1024 / 4 steps a block, whose errors are independent and so
// grow with the root of their number: sqrt(1024 / 4) · 6e-8 / sqrt(3) < 6e-7 of a typical partial sum.
constexpr double kTolerance = 6e-7;

::testing::AssertionResult right(const LinearCase& linear, const std::vector<float>& out) {
  const auto reference = linear.expected();
  const double rounding = testing::rounding_error(out, reference.values, reference.magnitudes);
  if (!(rounding < kRounding)) return ::testing::AssertionFailure() << "an element errs by " << rounding;
  const double error = relative_error(out, reference.values);
  if (out.size() >= 64 && !(error < kTolerance))
    return ::testing::AssertionFailure() << "relative error " << error;
  return ::testing::AssertionSuccess();
}

using Linear = testing::OnTarget;
INSTANTIATE_ON_TARGETS(Linear);

TEST_P(Linear, EqualsTheReferenceForAllShapes) {
  for (const std::int64_t m : {1, 2, 3, 4, 5, 6, 7, 8, 9, 17, 64, 65})
    for (const std::int64_t n : {1, 3, 5, 47, 129})
      for (const std::int64_t k : {1, 7, 16, 63, 64, 80, 768}) {
        const LinearCase linear(DType::f16, m, n, k);
        EXPECT_TRUE(right(linear, linear.run())) << m << " x " << n << " x " << k;
      }
}

TEST_P(Linear, EqualsTheReferenceForLongRows) {
  for (const DType type : kAllTypes)
    for (const std::int64_t m : {1, 5, 13, 65})
      for (const std::int64_t k : {1000, 1024, 1025, 2048, 5000}) {
        const LinearCase linear(type, m, 21, k);
        EXPECT_TRUE(right(linear, linear.run(2))) << name_of(type) << " " << m << " x " << k;
      }
}

TEST_P(Linear, AppliesEveryEpilogueInEveryFormat) {
  for (const DType type : kAllTypes)
    for (const std::int64_t m : {3, 40})
      for (const Epilogue epilogue : {Epilogue::none, Epilogue::relu, Epilogue::gelu, Epilogue::add})
        for (const bool with_bias : {false, true}) {
          LinearCase linear(type, m, 37, 80);
          linear.epilogue = epilogue;
          linear.with_bias = with_bias;
          EXPECT_TRUE(right(linear, linear.run()))
              << name_of(type) << " epilogue " << static_cast<int>(epilogue) << " bias " << with_bias;
        }
}

TEST_P(Linear, KeepsToItsStrides) {
  for (const std::int64_t m : {4, 30}) {
    const LinearCase linear(DType::bf16, m, 37, 63, 5);
    const auto out = linear.run(2);
    EXPECT_TRUE(right(linear, linear.compact(out)));
    for (std::int64_t r = 0; r < m; ++r)
      for (std::int64_t c = linear.n; c < linear.out_stride; ++c)
        EXPECT_TRUE(std::isnan(out[static_cast<std::size_t>(r * linear.out_stride + c)]))
            << "written: " << r << ", " << c;
  }
}

TEST_P(Linear, ReadsWeightsAtAnyAddress) {
  LinearCase linear(DType::f16, 2, 9, 40);
  const auto aligned = linear.run();
  auto& bytes = linear.weight.bytes;
  bytes.insert(bytes.begin(), std::byte{0x7f});
  const testing::Numbers moved = linear.weight;
  const MatrixPiece piece{moved.bytes.data() + 1, linear.n};
  EXPECT_TRUE(testing::same_bits(linear.run(1, 0, 2, {&piece, 1}), aligned));
}

TEST_P(Linear, TakesABiasOfAnotherFormat) {
  LinearCase linear(DType::f16, 2, 19, 40);
  linear.bias = testing::Random(1).numbers(DType::f32, 19);
  EXPECT_TRUE(right(linear, linear.run()));
}

TEST_P(Linear, ReluKeepsNaN) {
  LinearCase linear(DType::f32, 1, 4, 8);
  linear.epilogue = Epilogue::relu;
  linear.x[3] = testing::kPoison;
  for (const float value : linear.run()) EXPECT_TRUE(std::isnan(value));
}

TEST_P(Linear, DoesNothingWithoutRows) {
  const LinearCase linear(DType::f32, 1, 4, 8);
  EXPECT_TRUE(linear.run(1, 0, 0).empty());
}

}  // namespace
}  // namespace optpipe::kernels
