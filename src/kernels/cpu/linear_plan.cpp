#include "kernels/cpu/linear_plan.hpp"

#include <algorithm>

namespace optpipe::kernels {
namespace {

constexpr std::int64_t kWidenFrom = 13;           // rows of x from which a panel of widened weights pays
constexpr std::int64_t kPanelRows = 192;          // · kColumnBlock fp32 = 768 KiB, in the second-level cache
constexpr std::int64_t kRowsOfX = 480;            // multiple of every tile's height
constexpr std::int64_t kStreamBytes = 128 << 10;  // of weights a unit reads where each is read once
constexpr std::int64_t kUnitsPerThread = 4;       // dynamic scheduling evens out the rest
constexpr std::int64_t kGrain = 16;               // columns: a cache line of the result

std::int64_t round_to_grain(std::int64_t rows) {
  return std::max(kGrain, (rows + kGrain - 1) / kGrain * kGrain);
}
std::int64_t divide_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

}  // namespace

LinearPlan plan_linear(std::int64_t m, std::int64_t n, std::int64_t row_bytes, int threads) {
  const std::int64_t wanted = threads > 1 ? threads * kUnitsPerThread : 1;
  LinearPlan plan{.widen = m >= kWidenFrom, .m = m, .n = n};
  if (!plan.widen) {
    const std::int64_t streamed = kStreamBytes / std::max<std::int64_t>(row_bytes, 1);
    plan.m_chunk = m;
    plan.n_chunk = round_to_grain(std::min({streamed, divide_up(n, wanted), std::int64_t{512}}));
    return plan;
  }
  plan.m_chunk = std::min(m, kRowsOfX);
  plan.n_chunk = std::min(kPanelRows, round_to_grain(n));
  while (plan.units() < wanted && plan.m_chunk > 60) plan.m_chunk = divide_up(plan.m_chunk / 2, 12) * 12;
  while (plan.units() < wanted && plan.n_chunk > kGrain) plan.n_chunk = round_to_grain(plan.n_chunk / 2);
  return plan;
}

LinearUnit LinearPlan::unit(std::int64_t index) const {
  const std::int64_t m_begin = index / n_chunks() * m_chunk, n_begin = index % n_chunks() * n_chunk;
  return {m_begin, std::min(m, m_begin + m_chunk), n_begin, std::min(n, n_begin + n_chunk)};
}

}  // namespace optpipe::kernels
