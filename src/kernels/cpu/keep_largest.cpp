#include "kernels/cpu/keep_largest.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

namespace optpipe::kernels {

void keep_largest(float* weights, std::int64_t count, std::int64_t kept) {
  if (kept >= count || std::isnan(weights[0])) return;
  if (kept <= 0) {
    std::fill_n(weights, count, 0.0f);
    return;
  }
  thread_local std::vector<float> sorted;  // grows only
  sorted.assign(weights, weights + count);
  const auto last = sorted.begin() + kept - 1;
  std::nth_element(sorted.begin(), last, sorted.end(), std::greater<>());
  const float least = *last;
  std::int64_t equals = kept - std::count_if(sorted.begin(), last, [least](float w) { return w > least; });
  for (std::int64_t i = 0; i < count; ++i) {
    const bool stays = weights[i] > least || (weights[i] == least && equals-- > 0);
    if (!stays) weights[i] = 0;
  }
}

}  // namespace optpipe::kernels
