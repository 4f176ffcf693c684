#include "kernels/cuda/matmul.hpp"

#include <algorithm>
#include <memory>
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

std::uint32_t alignment_of(const void* pointer) {
  const auto address = reinterpret_cast<std::uintptr_t>(pointer);
  const auto lowest_bit = address & (~address + 1);
  return lowest_bit == 0 ? 256 : static_cast<std::uint32_t>(std::min<std::uintptr_t>(lowest_bit, 256));
}

}  // namespace

struct Matmul::Plan {
  Operation operation;
  Layout weight, x, out;
  std::optional<cublasLtMatmulAlgo_t> algorithm;
};

Matmul::Matmul(void* workspace, Bytes workspace_bytes)
    : workspace_(workspace), workspace_bytes_(workspace_bytes) {
  check(cublasLtCreate(&handle_), "cublasLtCreate");
}

Matmul::~Matmul() {
  plans_.clear();
  if (cublasLtDestroy(handle_) != CUBLAS_STATUS_SUCCESS) log::warn("cublasLtDestroy failed");
}

Matmul::Key Matmul::key_of(const Product& p) {
  return {p.m,
          p.n,
          p.k,
          p.x_stride,
          p.out_stride,
          alignment_of(p.x),
          alignment_of(p.weight),
          alignment_of(p.out),
          p.bias != nullptr,
          p.relu,
          p.add,
          p.wide};
}

// The row-major product x · weightᵀ is, in the library's column-major eyes, outᵀ [n, m] = (weightᵀ)ᵀ · xᵀ.
Matmul::Plan Matmul::make_plan(const Product& p, const Key& key) const {
  Plan plan;
  cublasLtMatmulDesc_t operation = nullptr;
  check(cublasLtMatmulDescCreate(&operation, CUBLAS_COMPUTE_32F, CUDA_R_32F), "cublasLtMatmulDescCreate");
  plan.operation.reset(operation);
  set(plan.operation, CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_T);
  set(plan.operation, CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue_of(key.bias, key.relu));
  if (key.bias) set(plan.operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, static_cast<const void*>(p.bias));
  plan.weight = layout_of(CUDA_R_16F, p.k, p.n, p.k);
  plan.x = layout_of(CUDA_R_16F, p.k, p.m, p.x_stride);
  plan.out = layout_of(p.wide ? CUDA_R_32F : CUDA_R_16F, p.n, p.m, p.out_stride);

  cublasLtMatmulPreference_t raw = nullptr;
  check(cublasLtMatmulPreferenceCreate(&raw), "cublasLtMatmulPreferenceCreate");
  const Preference preference(raw);
  set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, static_cast<std::uint64_t>(workspace_bytes_));
  // Partial sums are added in fp32, never in the results' fp16.
  set(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
      static_cast<std::uint32_t>(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));
  set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, key.weight_alignment);
  set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, key.x_alignment);
  set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, key.out_alignment);
  set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, key.out_alignment);
  cublasLtMatmulHeuristicResult_t result{};
  int found = 0;
  const cublasStatus_t status =
      cublasLtMatmulAlgoGetHeuristic(handle_, plan.operation.get(), plan.weight.get(), plan.x.get(),
                                     plan.out.get(), plan.out.get(), preference.get(), 1, &result, &found);
  if (status == CUBLAS_STATUS_NOT_SUPPORTED || status == CUBLAS_STATUS_INVALID_VALUE) return plan;
  check(status, "cublasLtMatmulAlgoGetHeuristic");
  if (found > 0 && result.state == CUBLAS_STATUS_SUCCESS) plan.algorithm = result.algo;
  return plan;
}

bool Matmul::run(const Product& p, Stream stream) {
  const Key key = key_of(p);
  auto found = plans_.find(key);
  if (found == plans_.end()) found = plans_.emplace(key, make_plan(p, key)).first;
  const Plan& plan = found->second;
  if (!plan.algorithm) return false;
  if (p.bias) set(plan.operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, static_cast<const void*>(p.bias));
  const float one = 1, beta = p.add ? 1 : 0;
  check(cublasLtMatmul(handle_, plan.operation.get(), &one, p.weight, plan.weight.get(), p.x, plan.x.get(),
                       &beta, p.out, plan.out.get(), p.out, plan.out.get(), &*plan.algorithm, workspace_,
                       workspace_bytes_, stream),
        "cublasLtMatmul");
  return true;
}

}  // namespace optpipe::kernels::cuda
