#include "kernels/cuda/matmul.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <memory>
#include <span>
#include <type_traits>

#include "kernels/cuda/status.hpp"
#include "optpipe/base/log.hpp"

namespace optpipe::kernels::cuda {
namespace {

template <auto destroy>
struct Destroyer {
  template <class T>
  void operator()(T* object) const {
    if (destroy(object) != CUBLAS_STATUS_SUCCESS) log::warn("a cuBLASLt descriptor could not be destroyed");
  }
};
using Operation =
    std::unique_ptr<std::remove_pointer_t<cublasLtMatmulDesc_t>, Destroyer<cublasLtMatmulDescDestroy>>;
using Layout =
    std::unique_ptr<std::remove_pointer_t<cublasLtMatrixLayout_t>, Destroyer<cublasLtMatrixLayoutDestroy>>;
using Preference = std::unique_ptr<std::remove_pointer_t<cublasLtMatmulPreference_t>,
                                   Destroyer<cublasLtMatmulPreferenceDestroy>>;

template <class T>
void set(const Operation& operation, cublasLtMatmulDescAttributes_t which, const T& value) {
  check(cublasLtMatmulDescSetAttribute(operation.get(), which, &value, sizeof value),
        "cublasLtMatmulDescSetAttribute");
}

template <class T>
void set(const Preference& preference, cublasLtMatmulPreferenceAttributes_t which, const T& value) {
  check(cublasLtMatmulPreferenceSetAttribute(preference.get(), which, &value, sizeof value),
        "cublasLtMatmulPreferenceSetAttribute");
}

// A column-major matrix, as the library sees it: the transpose of a row-major one.
Layout layout_of(cudaDataType type, std::int64_t rows, std::int64_t columns, std::int64_t stride) {
  cublasLtMatrixLayout_t layout = nullptr;
  check(cublasLtMatrixLayoutCreate(&layout, type, static_cast<std::uint64_t>(rows),
                                   static_cast<std::uint64_t>(columns), stride),
        "cublasLtMatrixLayoutCreate");
  return Layout(layout);
}

cublasLtEpilogue_t epilogue_of(bool bias, bool relu) {
  if (relu) return bias ? CUBLASLT_EPILOGUE_RELU_BIAS : CUBLASLT_EPILOGUE_RELU;
  return bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
}

// Of all rows, which begin `stride` bytes apart. Finer than 16 bytes no algorithm distinguishes, and which
// row is the first must not choose.
std::uint32_t alignment_of(const void* pointer, std::int64_t stride) {
  const auto bits =
      reinterpret_cast<std::uintptr_t>(pointer) | static_cast<std::uintptr_t>(stride) | kWidestLoad;
  return static_cast<std::uint32_t>(bits & (~bits + 1));
}

// 0 where the algorithm has no such attribute. Attributes have 2 or 4 bytes; the host is little-endian.
std::uint32_t config(const cublasLtMatmulAlgo_t& algorithm, cublasLtMatmulAlgoConfigAttributes_t which) {
  std::uint32_t value = 0;
  std::size_t bytes = 0;
  if (cublasLtMatmulAlgoConfigGetAttribute(&algorithm, which, nullptr, 0, &bytes) != CUBLAS_STATUS_SUCCESS ||
      bytes > sizeof value ||
      cublasLtMatmulAlgoConfigGetAttribute(&algorithm, which, &value, bytes, &bytes) != CUBLAS_STATUS_SUCCESS)
    return 0;
  return value;
}

std::string text_of(const cublasLtMatmulAlgo_t& algorithm) {
  const auto of = [&](cublasLtMatmulAlgoConfigAttributes_t which) { return config(algorithm, which); };
  return fmt::format(
      "algorithm {}, tile {}, stages {}, {} parts of K (scheme {}), inner shape {}, cluster {}, swizzle {}, "
      "option {}",
      of(CUBLASLT_ALGO_CONFIG_ID), of(CUBLASLT_ALGO_CONFIG_TILE_ID), of(CUBLASLT_ALGO_CONFIG_STAGES_ID),
      of(CUBLASLT_ALGO_CONFIG_SPLITK_NUM), of(CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME),
      of(CUBLASLT_ALGO_CONFIG_INNER_SHAPE_ID), of(CUBLASLT_ALGO_CONFIG_CLUSTER_SHAPE_ID),
      of(CUBLASLT_ALGO_CONFIG_CTA_SWIZZLING), of(CUBLASLT_ALGO_CONFIG_CUSTOM_OPTION));
}

}  // namespace

struct Matmul::Problem {
  Operation operation;
  Layout weight, x, out;
};

struct Matmul::Plan {
  Problem problem;
  Choice algorithm;
  std::int64_t rows = 0;  // of x that go in one call
};

bool Matmul::Key::is_aligned() const {
  return std::min({x_alignment, weight_alignment, out_alignment}) == kWidestLoad;
}

std::int64_t row_class(std::int64_t rows) {
  if (rows <= 1) return 1;
  if (rows <= 8) return 8;
  const auto octave = static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(rows)));
  const std::int64_t between = octave / 4 * 3;
  return octave > 16 && rows <= between ? between : octave;
}

Matmul::Matmul(void* workspace, Bytes workspace_bytes)
    : workspace_(workspace), workspace_bytes_(workspace_bytes) {
  check(cublasLtCreate(&handle_), "cublasLtCreate");
}

Matmul::~Matmul() {
  plans_.clear();
  if (cublasLtDestroy(handle_) != CUBLAS_STATUS_SUCCESS) log::warn("cublasLtDestroy failed");
}

Matmul::Key Matmul::key_of(const Product& p) {
  constexpr std::int64_t half = sizeof(Half);
  return {p.m,
          p.n,
          p.k,
          p.x_stride,
          p.out_stride,
          alignment_of(p.x, p.x_stride * half),
          alignment_of(p.weight, p.k * half),
          alignment_of(p.out, p.out_stride * (p.wide ? 2 * half : half)),
          p.bias != nullptr,
          p.relu,
          p.add,
          p.wide};
}

// The row-major product x · weightᵀ is, in the library's column-major eyes, outᵀ [n, m] = (weightᵀ)ᵀ · xᵀ.
Matmul::Problem Matmul::describe(const Key& key) const {
  Problem problem;
  cublasLtMatmulDesc_t operation = nullptr;
  check(cublasLtMatmulDescCreate(&operation, CUBLAS_COMPUTE_32F, CUDA_R_32F), "cublasLtMatmulDescCreate");
  problem.operation.reset(operation);
  set(problem.operation, CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_T);
  set(problem.operation, CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue_of(key.bias, key.relu));
  // Any address that is aligned will do until the product runs.
  if (key.bias)
    set(problem.operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, static_cast<const void*>(workspace_));
  problem.weight = layout_of(CUDA_R_16F, key.k, key.n, key.k);
  problem.x = layout_of(CUDA_R_16F, key.k, key.m, key.x_stride);
  problem.out = layout_of(key.wide ? CUDA_R_32F : CUDA_R_16F, key.n, key.m, key.out_stride);
  return problem;
}

bool Matmul::works(const Problem& problem, const cublasLtMatmulAlgo_t& algorithm) const {
  cublasLtMatmulHeuristicResult_t result{};
  return cublasLtMatmulAlgoCheck(handle_, problem.operation.get(), problem.weight.get(), problem.x.get(),
                                 problem.out.get(), problem.out.get(), &algorithm,
                                 &result) == CUBLAS_STATUS_SUCCESS &&
         result.state == CUBLAS_STATUS_SUCCESS && result.workspaceSize <= workspace_bytes_;
}

std::vector<cublasLtMatmulAlgo_t> Matmul::candidates(const Key& key) const {
  constexpr int kMost = 32;
  cublasLtMatmulPreference_t raw = nullptr;
  check(cublasLtMatmulPreferenceCreate(&raw), "cublasLtMatmulPreferenceCreate");
  const Preference preference(raw);
  set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, static_cast<std::uint64_t>(workspace_bytes_));
  set(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
      static_cast<std::uint32_t>(CUBLASLT_REDUCTION_SCHEME_NONE));
  set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, key.weight_alignment);
  set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, key.x_alignment);
  set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, key.out_alignment);
  set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, key.out_alignment);
  const Problem problem = describe(key);
  std::array<cublasLtMatmulHeuristicResult_t, kMost> results{};
  int found = 0;
  const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(
      handle_, problem.operation.get(), problem.weight.get(), problem.x.get(), problem.out.get(),
      problem.out.get(), preference.get(), kMost, results.data(), &found);
  if (status == CUBLAS_STATUS_NOT_SUPPORTED || status == CUBLAS_STATUS_INVALID_VALUE) return {};
  check(status, "cublasLtMatmulAlgoGetHeuristic");
  std::vector<cublasLtMatmulAlgo_t> algorithms;
  for (const auto& result : std::span(results).first(static_cast<std::size_t>(found)))
    if (result.state == CUBLAS_STATUS_SUCCESS && config(result.algo, CUBLASLT_ALGO_CONFIG_SPLITK_NUM) <= 1)
      algorithms.push_back(result.algo);
  return algorithms;
}

// The library's first choice for so many rows where that is of the right kind and works for a single row,
// too. Where it is not, the first choice for somewhat more rows: the library ranks what it would not take
// badly. At last any of the right kind.
Matmul::Choice Matmul::find(const Key& key) {
  constexpr std::int64_t kMany = 2048;
  Choice of_many;
  if (key.m != kMany) {
    Key many = key;
    many.m = kMany;
    of_many = choose(many);
    // Kernels that serve any alignment share a tile's sums among warps in ways of their own: there only the
    // very same kernel gives the same bits. Cuts of matrices that are not tiny keep this alignment.
    if (!of_many || !key.is_aligned()) return of_many;
  }
  Key single = key;
  single.m = 1;
  const Problem problem = describe(key), one_row = describe(single);
  const auto is_right = [&](const cublasLtMatmulAlgo_t& algorithm) {
    return (!of_many ||
            config(algorithm, CUBLASLT_ALGO_CONFIG_ID) == config(*of_many, CUBLASLT_ALGO_CONFIG_ID)) &&
           works(problem, algorithm) && works(one_row, algorithm);
  };
  const auto chosen = [&](const cublasLtMatmulAlgo_t& algorithm, std::int64_t rows) {
    log::debug("{} rows [{} x {}]{}{}: {}, as for {}", key.m, key.n, key.k, key.add ? ", added" : "",
               key.wide ? ", fp32" : "", text_of(algorithm), rows);
    return algorithm;
  };
  const auto own = candidates(key);
  if (!own.empty() && is_right(own.front())) return chosen(own.front(), key.m);
  for (Key near = key; key.m < kMany && near.m < kMany;
       near.m = key.m + std::max<std::int64_t>(1, 2 * (near.m - key.m))) {
    const auto of_near = candidates(near);
    if (!of_near.empty() && is_right(of_near.front())) return chosen(of_near.front(), near.m);
  }
  for (const auto& algorithm : own)
    if (is_right(algorithm)) return chosen(algorithm, key.m);
  return of_many;
}

const Matmul::Choice& Matmul::choose(const Key& key) {
  auto found = choices_.find(key);
  if (found != choices_.end()) return found->second;
  const Choice choice = find(key);
  return choices_.emplace(key, choice).first->second;
}

// Rows beyond what an algorithm takes at once (its workspace grows with them) go in several calls.
Matmul::Plan Matmul::make_plan(const Key& key, std::int64_t whole_n) {
  Key of_class = key;
  of_class.m = row_class(key.m);
  of_class.n = of_class.out_stride = whole_n;
  of_class.x_stride = key.k;
  Plan plan{describe(key), choose(of_class), key.m};
  if (!plan.algorithm) return plan;
  Key part = key;
  while (part.m > 1 && !works(plan.problem, *plan.algorithm)) {
    part.m = plan.rows = (plan.rows + 1) / 2;
    plan.problem = describe(part);
  }
  if (part.m == 1 && !works(plan.problem, *plan.algorithm)) plan.algorithm.reset();
  return plan;
}

bool Matmul::run(const Product& p, Stream stream) {
  const std::pair key{key_of(p), p.whole_n};
  auto found = plans_.find(key);
  if (found == plans_.end()) found = plans_.emplace(key, make_plan(key.first, p.whole_n)).first;
  const Plan& plan = found->second;
  if (!plan.algorithm) return false;
  if (plan.rows < p.m) return run_parts(p, plan.rows, stream);
  const Problem& problem = plan.problem;
  if (p.bias) set(problem.operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, static_cast<const void*>(p.bias));
  const float one = 1, beta = p.add ? 1 : 0;
  check(cublasLtMatmul(handle_, problem.operation.get(), &one, p.weight, problem.weight.get(), p.x,
                       problem.x.get(), &beta, p.out, problem.out.get(), p.out, problem.out.get(),
                       &*plan.algorithm, workspace_, workspace_bytes_, stream),
        "cublasLtMatmul");
  return true;
}

bool Matmul::run_parts(const Product& p, std::int64_t rows, Stream stream) {
  const auto element = static_cast<std::int64_t>(p.wide ? sizeof(float) : sizeof(Half));
  for (std::int64_t row = 0; row < p.m; row += rows) {
    Product part = p;
    part.m = std::min(rows, p.m - row);
    part.x += row * p.x_stride;
    part.out = static_cast<std::byte*>(p.out) + row * p.out_stride * element;
    if (!run(part, stream)) return false;  // not after a part that ran: all have the same algorithm
  }
  return true;
}

}  // namespace optpipe::kernels::cuda
