// Turns the status of CUDA and cuBLAS calls into SystemError.
#pragma once

#include <cublasLt.h>
#include <cuda_runtime_api.h>

namespace optpipe::kernels::cuda {

// `call` names the function that returned the status. The message names the GPU as well, which may have
// failed in work of long before: what CUDA reports late, it reports to whoever calls next.
void check(cudaError_t status, const char* call);
void check(cublasStatus_t status, const char* call);

// Right behind a launch: throws if the launch, or asynchronous work before it, failed.
void check_launch(const char* kernel);

// For destructors, which must not throw: logs a warning. After an error that a process cannot recover from,
// every call returns that same error, and has nothing to add.
void warn(cudaError_t status, const char* call) noexcept;

}  // namespace optpipe::kernels::cuda
