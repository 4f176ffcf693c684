#include "kernels/cpu/targets.hpp"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/argmax.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <limits>

#include "kernels/cpu/vector-inl.hpp"
#include "optpipe/kernels/cpu.hpp"

HWY_BEFORE_NAMESPACE();
namespace optpipe::kernels::HWY_NAMESPACE {
namespace {

// The largest of n values that are numbers; -infinity if there is none.
HWY_ATTR float largest(const float* values, std::int64_t n) {
  const Floats d;
  Vector most = hn::Set(d, -std::numeric_limits<float>::infinity());
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const Vector v = load(values + i);
    most = hn::IfThenElse(hn::Gt(v, most), v, most);
  }
  HWY_ALIGN float lanes[kLanes];
  hn::Store(most, d, lanes);
  float result = *std::max_element(lanes, lanes + kLanes);
  for (; i < n; ++i) result = values[i] > result ? values[i] : result;
  return result;
}

}  // namespace
}  // namespace optpipe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace optpipe::kernels {
namespace {

HWY_EXPORT(largest);

}  // namespace

std::int64_t argmax(const float* values, std::int64_t n) {
  const float* found = std::find(values, values + n, HWY_DYNAMIC_DISPATCH(largest)(values, n));
  return found == values + n ? 0 : found - values;
}

}  // namespace optpipe::kernels
#endif
