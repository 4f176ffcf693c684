// Kernels after which a process cannot use its GPU any more.
#pragma once

#include <cuda_runtime_api.h>

namespace optpipe::test {

void launch_illegal_store(cudaStream_t stream);  // where no memory is
void launch_trap(cudaStream_t stream);

}  // namespace optpipe::test
