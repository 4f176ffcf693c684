// Stands in for the CUDA executor where the program is built without it.
#include "optpipe/executor/device_probe.hpp"
#include "optpipe/executor/stage.hpp"

namespace optpipe::executor {

int cuda_devices() { return 0; }
bool built_with_cuda() { return false; }
GpuName gpu_name(int) { return {}; }
void use_gpu(int) {}
Bytes gpu_memory_left(int) { return 0; }

std::unique_ptr<Stage> make_cuda_stage(int, const model::ModelConfig&, const model::StageSlice&,
                                       const model::Checkpoint&, const std::vector<memory::Round>&,
                                       const StageOptions&, comm::Transport&, FailureHandler) {
  throw UsageError(
      "--device cuda: this build has no CUDA backend; build it where nvcc is on PATH, or use --device cpu");
}

std::unique_ptr<DeviceProbe> make_cuda_probe(int, int) {
  throw UsageError("--device cuda: this build has no CUDA backend; build it where nvcc is on PATH");
}

}  // namespace optpipe::executor
