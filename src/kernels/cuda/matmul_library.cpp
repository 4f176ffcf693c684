#include "kernels/cuda/matmul_library.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <set>
#include <span>

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

// Numbers of rows whose algorithms may be good for class `rows`, too: this first, then somewhat more rows
// (the library ranks what it would not take badly), then fewer.
std::vector<std::int64_t> near(std::int64_t rows) {
  std::vector<std::int64_t> counts{rows};
  for (const auto more : {rows + 1, rows + (rows + 3) / 4, 2 * rows, 4 * rows, 8 * rows, 16 * rows})
    if (more > counts.back() && more < MatmulLibrary::kMany) counts.push_back(more);
  if (rows > 1) counts.push_back(row_class(rows / 2));
  return counts;
}

}  // namespace

struct MatmulLibrary::Problem {
  Operation operation;
  Layout weight, x, out;
};

void MatmulLibrary::ProblemDeleter::operator()(Problem* problem) const { delete problem; }

MatmulShape shape_of(const Product& p) {
  return {p.m, p.n, p.k, p.x_stride, p.out_stride, p.bias != nullptr, p.relu, p.add, p.wide};
}

std::string MatmulLibrary::text_of(const Algorithm& algorithm) {
  const auto of = [&](cublasLtMatmulAlgoConfigAttributes_t which) { return config(algorithm, which); };
  return fmt::format(
      "algorithm {}, tile {}, stages {}, {} parts of K (scheme {}), inner shape {}, cluster {}, swizzle {}, "
      "option {}",
      of(CUBLASLT_ALGO_CONFIG_ID), of(CUBLASLT_ALGO_CONFIG_TILE_ID), of(CUBLASLT_ALGO_CONFIG_STAGES_ID),
      of(CUBLASLT_ALGO_CONFIG_SPLITK_NUM), of(CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME),
      of(CUBLASLT_ALGO_CONFIG_INNER_SHAPE_ID), of(CUBLASLT_ALGO_CONFIG_CLUSTER_SHAPE_ID),
      of(CUBLASLT_ALGO_CONFIG_CTA_SWIZZLING), of(CUBLASLT_ALGO_CONFIG_CUSTOM_OPTION));
}

std::int64_t row_class(std::int64_t rows) {
  if (rows <= 1) return 1;
  if (rows <= 8) return 8;
  const auto octave = static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(rows)));
  const std::int64_t step = octave <= 16 ? octave : octave <= 128 ? octave / 4 : octave / 8;
  return (rows + step - 1) / step * step;
}

MatmulLibrary::MatmulLibrary(void* workspace, Bytes workspace_bytes)
    : workspace_(workspace), workspace_bytes_(workspace_bytes) {
  check(cublasLtCreate(&handle_), "cublasLtCreate");
}

MatmulLibrary::~MatmulLibrary() {
  if (cublasLtDestroy(handle_) != CUBLAS_STATUS_SUCCESS) log::warn("cublasLtDestroy failed");
}

// The row-major product x · weightᵀ is, in the library's column-major eyes, outᵀ [n, m] = (weightᵀ)ᵀ · xᵀ.
MatmulLibrary::ProblemPointer MatmulLibrary::describe(const MatmulShape& shape) const {
  ProblemPointer problem(new Problem);
  cublasLtMatmulDesc_t operation = nullptr;
  check(cublasLtMatmulDescCreate(&operation, CUBLAS_COMPUTE_32F, CUDA_R_32F), "cublasLtMatmulDescCreate");
  problem->operation.reset(operation);
  set(problem->operation, CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_T);
  set(problem->operation, CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue_of(shape.bias, shape.relu));
  // Any address that is aligned will do until the product runs.
  if (shape.bias)
    set(problem->operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, static_cast<const void*>(workspace_));
  problem->weight = layout_of(CUDA_R_16F, shape.k, shape.n, shape.k);
  problem->x = layout_of(CUDA_R_16F, shape.k, shape.m, shape.x_stride);
  problem->out = layout_of(shape.wide ? CUDA_R_32F : CUDA_R_16F, shape.n, shape.m, shape.out_stride);
  return problem;
}

bool MatmulLibrary::works(const Problem& problem, const Algorithm& algorithm) const {
  cublasLtMatmulHeuristicResult_t result{};
  return cublasLtMatmulAlgoCheck(handle_, problem.operation.get(), problem.weight.get(), problem.x.get(),
                                 problem.out.get(), problem.out.get(), &algorithm,
                                 &result) == CUBLAS_STATUS_SUCCESS &&
         result.state == CUBLAS_STATUS_SUCCESS && result.workspaceSize <= workspace_bytes_;
}

const std::vector<MatmulLibrary::Algorithm>& MatmulLibrary::proposed(const MatmulShape& wanted) const {
  MatmulShape shape = wanted;
  shape.add = false;  // the library is not told
  auto found = proposed_.find(shape);
  if (found == proposed_.end()) found = proposed_.emplace(shape, ask(shape)).first;
  return found->second;
}

// Rows begin at multiples of 16 bytes.
std::vector<MatmulLibrary::Algorithm> MatmulLibrary::ask(const MatmulShape& shape) const {
  constexpr int kMost = 32;
  cublasLtMatmulPreference_t raw = nullptr;
  check(cublasLtMatmulPreferenceCreate(&raw), "cublasLtMatmulPreferenceCreate");
  const Preference preference(raw);
  set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, static_cast<std::uint64_t>(workspace_bytes_));
  set(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
      static_cast<std::uint32_t>(CUBLASLT_REDUCTION_SCHEME_NONE));
  for (const auto which :
       {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES})
    set(preference, which, std::uint32_t{16});
  const ProblemPointer problem = describe(shape);
  std::array<cublasLtMatmulHeuristicResult_t, kMost> results{};
  int found = 0;
  const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(
      handle_, problem->operation.get(), problem->weight.get(), problem->x.get(), problem->out.get(),
      problem->out.get(), preference.get(), kMost, results.data(), &found);
  if (status == CUBLAS_STATUS_NOT_SUPPORTED || status == CUBLAS_STATUS_INVALID_VALUE) return {};
  check(status, "cublasLtMatmulAlgoGetHeuristic");
  std::vector<Algorithm> algorithms;
  for (const auto& result : std::span(results).first(static_cast<std::size_t>(found)))
    if (result.state == CUBLAS_STATUS_SUCCESS && config(result.algo, CUBLASLT_ALGO_CONFIG_SPLITK_NUM) <= 1)
      algorithms.push_back(result.algo);
  return algorithms;
}

std::optional<MatmulLibrary::Algorithm> MatmulLibrary::reference(const MatmulShape& whole) const {
  MatmulShape many = whole, single = whole;
  many.m = kMany;
  single.m = 1;
  const ProblemPointer of_many = describe(many), one_row = describe(single);
  for (const Algorithm& algorithm : proposed(many))
    if (works(*of_many, algorithm) && works(*one_row, algorithm)) return algorithm;
  return std::nullopt;
}

std::vector<MatmulLibrary::Algorithm> MatmulLibrary::like(const Algorithm& reference,
                                                          const MatmulShape& shape, std::size_t most,
                                                          std::span<const Algorithm> hints) const {
  MatmulShape single = shape;
  single.m = 1;
  const ProblemPointer problem = describe(shape), one_row = describe(single);
  std::vector<Algorithm> found;
  std::set<std::string> seen;
  const auto is_full = [&] { return found.size() >= most; };
  const auto take = [&](const Algorithm& algorithm) {
    if (is_full() ||
        config(algorithm, CUBLASLT_ALGO_CONFIG_ID) != config(reference, CUBLASLT_ALGO_CONFIG_ID) ||
        !seen.insert(text_of(algorithm)).second)
      return;
    if (works(*problem, algorithm) && works(*one_row, algorithm)) found.push_back(algorithm);
  };
  std::vector<std::span<const Algorithm>> rest;
  for (const std::int64_t count : near(shape.m)) {
    if (is_full()) return found;
    MatmulShape neighbour = shape;
    neighbour.m = count;
    rest.push_back(proposed(neighbour));
    if (!rest.back().empty()) take(rest.back().front());
    if (count == shape.m)
      for (const Algorithm& hint : hints) take(hint);
  }
  std::size_t longest = 0;
  for (const auto list : rest) longest = std::max(longest, list.size());
  for (std::size_t rank = 1; rank < longest && !is_full(); ++rank)
    for (const auto list : rest)
      if (rank < list.size()) take(list[rank]);
  take(reference);
  return found;
}

void MatmulLibrary::run(const Problem& problem, const Algorithm& algorithm, const Product& p,
                        Stream stream) const {
  if (p.bias) set(problem.operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, static_cast<const void*>(p.bias));
  const float one = 1, beta = p.add ? 1 : 0;
  check(cublasLtMatmul(handle_, problem.operation.get(), &one, p.weight, problem.weight.get(), p.x,
                       problem.x.get(), &beta, p.out, problem.out.get(), p.out, problem.out.get(), &algorithm,
                       workspace_, workspace_bytes_, stream),
        "cublasLtMatmul");
}

}  // namespace optpipe::kernels::cuda
