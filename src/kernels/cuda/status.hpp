// Turns the status of CUDA and cuBLAS calls into SystemError.
#pragma once

#include <cublasLt.h>
#include <cuda_runtime_api.h>

namespace optpipe::kernels::cuda {

// `call` names the function that returned the status.
void check(cudaError_t status, const char* call);
void check(cublasStatus_t status, const char* call);

// Right behind a launch: throws if the launch, or asynchronous work before it, failed.
void check_launch(const char* kernel);

}  // namespace optpipe::kernels::cuda
