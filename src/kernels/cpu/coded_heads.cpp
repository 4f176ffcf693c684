#include "kernels/cpu/coded_heads.hpp"

#include <atomic>

#include "kernels/cpu/vnni.hpp"
#include "optpipe/base/check.hpp"

namespace optpipe::kernels {
namespace {

std::atomic<bool> forbidden_by_test{false};

bool machine_has_them() {
#ifdef OPTPIPE_VNNI
  static const bool has = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                          __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                          __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("fma");
  return has;
#else
  return false;
#endif
}

}  // namespace

bool has_integer_products() {
  return machine_has_them() && !forbidden_by_test.load(std::memory_order_relaxed);
}
void forbid_integer_products(bool forbidden) { forbidden_by_test = forbidden; }

#ifndef OPTPIPE_VNNI
std::int64_t coded_scores_scratch() { return 0; }
std::int64_t coded_sums_scratch() { return 0; }
bool coded_scores(const CodedHeads&, const std::byte*, const float*, std::int64_t, std::int64_t, float*,
                  std::int64_t, float*) {
  return false;  // nobody asks: has_integer_products() is false
}
void coded_sums(const CodedHeads&, const float*, std::int64_t, std::int64_t, float*, float*) {
  OPTPIPE_CHECK(false, "no integer products on these cores");
}
#endif

}  // namespace optpipe::kernels
