// Kernels after which a process cannot use its GPU any more.
#include "gpu/failing_kernels.hpp"

namespace optpipe::test {
namespace {

__global__ void store_nowhere() { *reinterpret_cast<volatile int*>(0x10) = 1; }
__global__ void stop() { asm("trap;"); }

}  // namespace

void launch_illegal_store(cudaStream_t stream) { store_nowhere<<<1, 1, 0, stream>>>(); }
void launch_trap(cudaStream_t stream) { stop<<<1, 1, 0, stream>>>(); }

}  // namespace optpipe::test
