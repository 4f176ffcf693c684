#include "kernels/cuda/status.hpp"

#include <fmt/format.h>

#include "optpipe/base/error.hpp"

namespace optpipe::kernels::cuda {

void check(cudaError_t status, const char* call) {
  if (status == cudaSuccess) return;
  throw SystemError(
      fmt::format("{} failed: {} ({})", call, cudaGetErrorString(status), cudaGetErrorName(status)));
}

void check(cublasStatus_t status, const char* call) {
  if (status != CUBLAS_STATUS_SUCCESS)
    throw SystemError(fmt::format("{} failed: {}", call, cublasLtGetStatusString(status)));
}

void check_launch(const char* kernel) {
  const cudaError_t status = cudaGetLastError();
  if (status == cudaSuccess) return;
  throw SystemError(fmt::format("launch of {} failed: {} ({})", kernel, cudaGetErrorString(status),
                                cudaGetErrorName(status)));
}

}  // namespace optpipe::kernels::cuda
