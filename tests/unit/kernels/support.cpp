#include "unit/kernels/support.hpp"

#include <hwy/targets.h>

#include <bit>
#include <cmath>
#include <cstring>

#include "kernels/cpu/coded_heads.hpp"
#include "optpipe/kernels/cpu.hpp"

namespace optpipe::kernels::testing {

std::vector<float> Random::floats(std::int64_t count, float scale) {
  std::normal_distribution<float> distribution(0, scale);
  std::vector<float> result(static_cast<std::size_t>(count));
  for (float& value : result) value = distribution(engine_);
  return result;
}

Numbers Random::numbers(DType type, std::int64_t count, float scale) {
  Numbers result{.type = type, .bytes = {}, .values = {}};
  for (const float value : floats(count, scale)) {
    float stored = value;
    if (type != DType::f32) {
      const std::uint16_t bits = type == DType::f16 ? float_to_half(value) : float_to_bfloat16(value);
      stored = type == DType::f16 ? half_to_float(bits) : bfloat16_to_float(bits);
      const auto* raw = reinterpret_cast<const std::byte*>(&bits);
      result.bytes.insert(result.bytes.end(), raw, raw + sizeof bits);
    } else {
      const auto* raw = reinterpret_cast<const std::byte*>(&value);
      result.bytes.insert(result.bytes.end(), raw, raw + sizeof value);
    }
    result.values.push_back(stored);
  }
  return result;
}

double relative_error(std::span<const float> actual, std::span<const double> expected) {
  if (actual.size() != expected.size()) return std::numeric_limits<double>::infinity();
  double difference = 0, norm = 0;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    difference += (actual[i] - expected[i]) * (actual[i] - expected[i]);
    norm += expected[i] * expected[i];
  }
  return norm == 0 ? std::sqrt(difference) : std::sqrt(difference / norm);
}

double rounding_error(std::span<const float> actual, std::span<const double> expected,
                      std::span<const double> magnitude) {
  if (actual.size() != expected.size()) return std::numeric_limits<double>::infinity();
  double most = 0;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const double error = std::abs(actual[i] - expected[i]) / magnitude[i];
    if (!(error <= most)) most = error;  // NaN wins, and stays
    if (std::isnan(most)) break;
  }
  return most;
}

::testing::AssertionResult same_bits(std::span<const float> a, std::span<const float> b) {
  if (a.size() != b.size())
    return ::testing::AssertionFailure() << a.size() << " elements against " << b.size();
  for (std::size_t i = 0; i < a.size(); ++i)
    if (std::bit_cast<std::uint32_t>(a[i]) != std::bit_cast<std::uint32_t>(b[i]))
      return ::testing::AssertionFailure()
             << "element " << i << ": " << std::hexfloat << a[i] << " against " << b[i];
  return ::testing::AssertionSuccess();
}

WithoutIntegerProducts::WithoutIntegerProducts() { forbid_integer_products(true); }
WithoutIntegerProducts::~WithoutIntegerProducts() { forbid_integer_products(false); }

std::vector<std::int64_t> targets() {
  hwy::SetSupportedTargetsForTest(0);
  std::vector<std::int64_t> result;
#if HWY_ARCH_X86
  for (const std::int64_t target : {HWY_AVX3, HWY_AVX2, HWY_SSE4})
    if (hwy::SupportedTargets() & target) result.push_back(target);
  result.push_back(HWY_EMU128);
#else
  result.push_back(0);  // the one the program chooses
#endif
  return result;
}

std::string target_of(const ::testing::TestParamInfo<std::int64_t>& info) {
  return info.param ? hwy::TargetName(info.param) : "Chosen";
}

void OnTarget::SetUp() {
  if (GetParam() == 0) return;
  hwy::SetSupportedTargetsForTest(GetParam());
  hwy::GetChosenTarget().Update(GetParam());
  ASSERT_STREQ(vector_target(), hwy::TargetName(GetParam()));
}

void OnTarget::TearDown() {
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().DeInit();
}

}  // namespace optpipe::kernels::testing
