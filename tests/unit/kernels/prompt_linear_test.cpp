// Products on matrix units: right to within their precision, and the same bits whatever they are computed
// beside.
#include "unit/kernels/linear_case.hpp"

namespace optpipe::kernels {
namespace {

using testing::LinearCase;
using testing::same_bits;

LinearCase prompt_case(DType type, std::int64_t m, std::int64_t n, std::int64_t k, std::int64_t padding = 0) {
  LinearCase linear(type, m, n, k, padding);
  linear.prompt = true;
  return linear;
}

// A bf16 rounds by at most 2^-8, so two of them hold x to 2^-16 of its value, and the product of both small
// parts, left out, is as large at most: together 2^-15 of the sum of the terms' absolute values. Over a whole
// result the errors' signs are random, and typical roundings half of the largest: 2^-16. Without matrix units
// all errors are far less.
constexpr double kLargest = 0x1p-15, kTypical = 0x1p-16;

::testing::AssertionResult right(const LinearCase& linear, const std::vector<float>& out) {
  const auto reference = linear.expected();
  const double rounding = testing::rounding_error(out, reference.values, reference.magnitudes);
  if (!(rounding < kLargest)) return ::testing::AssertionFailure() << "an element errs by " << rounding;
  const double error = testing::relative_error(out, reference.values);
  if (out.size() >= 64 && !(error < kTypical))
    return ::testing::AssertionFailure() << "relative error " << error;
  return ::testing::AssertionSuccess();
}

TEST(PromptLinear, EqualsTheReference) {
  for (const DType type : testing::kAllTypes)
    for (const std::int64_t m : {1, 15, 16, 17, 33, 70})
      for (const std::int64_t n : {1, 31, 32, 129})
        for (const std::int64_t k : {1, 31, 32, 33, 80, 768, 2500}) {
          const LinearCase linear = prompt_case(type, m, n, k);
          EXPECT_TRUE(right(linear, linear.run())) << name_of(type) << " " << m << " x " << n << " x " << k;
        }
}

TEST(PromptLinear, AppliesEveryEpilogue) {
  for (const Epilogue epilogue : {Epilogue::none, Epilogue::relu, Epilogue::gelu, Epilogue::add})
    for (const bool with_bias : {false, true}) {
      LinearCase linear = prompt_case(DType::f16, 40, 37, 80, 5);
      linear.epilogue = epilogue;
      linear.with_bias = with_bias;
      EXPECT_TRUE(right(linear, linear.compact(linear.run()))) << static_cast<int>(epilogue) << with_bias;
    }
}

TEST(PromptLinear, TheSameBitsForAnyBatchAndAnyThreads) {
  for (const DType type : testing::kAllTypes)
    for (const std::int64_t k : {80, 1000}) {
      const LinearCase linear = prompt_case(type, 70, 45, k);
      const auto all = linear.run();
      for (const int threads : {2, 3}) EXPECT_TRUE(same_bits(linear.run(threads), all));
      for (std::int64_t count = 1; count <= linear.m; ++count) {
        const std::int64_t first = linear.m - count;
        ASSERT_TRUE(same_bits(linear.run(1, first, count),
                              std::span(all).subspan(static_cast<std::size_t>(first * linear.n))))
            << name_of(type) << " k " << k << ", " << count << " rows of " << linear.m;
      }
    }
}

TEST(PromptLinear, TheSameBitsForAnyPieces) {
  const LinearCase linear = prompt_case(DType::f16, 20, 77, 96);
  const auto whole = linear.run();
  for (const std::int64_t cut : {0, 1, 16, 31, 32, 33, 60}) {
    const std::byte* data = linear.weight.bytes.data();
    const std::int64_t second = (77 - cut) / 2;
    const std::vector<MatrixPiece> pieces{
        {data, cut}, {data + cut * 96 * 2, second}, {data + (cut + second) * 96 * 2, 77 - cut - second}};
    EXPECT_TRUE(same_bits(linear.run(1, 0, 20, pieces), whole)) << cut;
  }
}

}  // namespace
}  // namespace optpipe::kernels
