// What tests of kernels share: random data in any format, errors, and runs on every vector target of the
// machine.
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "optpipe/base/dtype.hpp"

namespace optpipe::kernels::testing {

inline constexpr float kPoison = std::numeric_limits<float>::quiet_NaN();
inline constexpr DType kAllTypes[] = {DType::f32, DType::f16, DType::bf16};

// Numbers in a format, and exactly these numbers in double.
struct Numbers {
  DType type{};
  std::vector<std::byte> bytes;
  std::vector<double> values;

  const std::byte* at(std::int64_t i) const {
    return bytes.data() + static_cast<std::size_t>(i) * size_of(type);
  }
  std::int64_t size() const { return static_cast<std::int64_t>(values.size()); }
};

class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_(seed) {}
  std::vector<float> floats(std::int64_t count, float scale = 1);  // normal with this deviation
  Numbers numbers(DType type, std::int64_t count, float scale = 1);

 private:
  std::mt19937_64 engine_;
};

// || actual - expected || / || expected ||; NaN if any element is.
double relative_error(std::span<const float> actual, std::span<const double> expected);

// max |actual - expected| / magnitude, where magnitude is the sum of the absolute values of an element's
// terms: what rounding errors are relative to, also where the terms cancel. NaN or infinite if any element
// is.
double rounding_error(std::span<const float> actual, std::span<const double> expected,
                      std::span<const double> magnitude);

// Equality of bits, so that NaN equals itself and -0 differs from 0; says where the first difference is.
::testing::AssertionResult same_bits(std::span<const float> a, std::span<const float> b);

// While it lives, attention over codes widens them, as on cores without integer products.
class WithoutIntegerProducts {
 public:
  WithoutIntegerProducts();
  ~WithoutIntegerProducts();
  WithoutIntegerProducts(const WithoutIntegerProducts&) = delete;
  WithoutIntegerProducts& operator=(const WithoutIntegerProducts&) = delete;
};

// The vector targets compiled in that this machine can run, as Highway numbers them.
std::vector<std::int64_t> targets();

// Runs each test on one target. Instantiate with INSTANTIATE_ON_TARGETS(suite).
class OnTarget : public ::testing::TestWithParam<std::int64_t> {
 protected:
  void SetUp() override;
  void TearDown() override;
};
std::string target_of(const ::testing::TestParamInfo<std::int64_t>& info);

#define INSTANTIATE_ON_TARGETS(suite) \
  INSTANTIATE_TEST_SUITE_P(Targets, suite, ::testing::ValuesIn(testing::targets()), testing::target_of)

}  // namespace optpipe::kernels::testing
