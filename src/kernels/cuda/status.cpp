#include "kernels/cuda/status.hpp"

#include <fmt/format.h>

#include <atomic>
#include <string>

#include "optpipe/base/error.hpp"
#include "optpipe/base/log.hpp"

namespace optpipe::kernels::cuda {
namespace {

// The last status that was made an error or a warning.
std::atomic<cudaError_t> reported{cudaSuccess};

// "failed on GPU 0: an illegal memory access was encountered (cudaErrorIllegalAddress)".
std::string failure(cudaError_t status) {
  int device = -1;
  const bool known = cudaGetDevice(&device) == cudaSuccess;
  return fmt::format("failed{}: {} ({})", known ? fmt::format(" on GPU {}", device) : "",
                     cudaGetErrorString(status), cudaGetErrorName(status));
}

// After these the process cannot use the GPU any more.
const char* advice(cudaError_t status) {
  switch (status) {
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchFailure:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidPc:
    case cudaErrorHardwareStackError:
    case cudaErrorECCUncorrectable:
      return "; the driver's lines in the kernel's log (dmesg, NVRM: Xid) say whether the GPU is at fault";
    default:
      return "";
  }
}

}  // namespace

void check(cudaError_t status, const char* call) {
  if (status == cudaSuccess) return;
  reported = status;
  throw SystemError(fmt::format("{} {}{}", call, failure(status), advice(status)));
}

void check(cublasStatus_t status, const char* call) {
  if (status != CUBLAS_STATUS_SUCCESS)
    throw SystemError(fmt::format("{} failed: {}", call, cublasLtGetStatusString(status)));
}

void check_launch(const char* kernel) {
  const cudaError_t status = cudaGetLastError();
  if (status == cudaSuccess) return;
  reported = status;
  throw SystemError(fmt::format("launch of {} {}{}", kernel, failure(status), advice(status)));
}

void warn(cudaError_t status, const char* call) noexcept {
  if (status == cudaSuccess || status == cudaErrorCudartUnloading || reported.exchange(status) == status)
    return;
  try {
    log::warn("{} {}", call, failure(status));
  } catch (...) {  // a log that fails must not end the program
  }
}

}  // namespace optpipe::kernels::cuda
