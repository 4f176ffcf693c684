#include "kernels/cuda/context.hpp"

#include "kernels/cuda/status.hpp"
#include "optpipe/base/check.hpp"

namespace optpipe::kernels::cuda {
namespace {

Device current_device() {
  int id = 0;
  check(cudaGetDevice(&id), "cudaGetDevice");
  const auto attribute = [&](cudaDeviceAttr which) {
    int value = 0;
    check(cudaDeviceGetAttribute(&value, which, id), "cudaDeviceGetAttribute");
    return value;
  };
  return {.capability = 10 * attribute(cudaDevAttrComputeCapabilityMajor) +
                        attribute(cudaDevAttrComputeCapabilityMinor),
          .processors = attribute(cudaDevAttrMultiProcessorCount),
          .shared_bytes = attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin),
          .reads_pinned = attribute(cudaDevAttrCanUseHostPointerForRegisteredMem) != 0};
}

Bytes checked_workspace(Bytes bytes) {
  OPTPIPE_CHECK(bytes >= kMiB, "a workspace of {} bytes", bytes);
  return bytes;
}

}  // namespace

int device_count() noexcept {
  int count = 0;
  if (cudaGetDeviceCount(&count) == cudaSuccess) return count;
  (void)cudaGetLastError();  // reported by the return value; must not appear behind the next launch
  return 0;
}

DeviceBuffer::DeviceBuffer(Bytes bytes) : bytes_(bytes) {
  if (bytes == 0) return;
  void* data = nullptr;
  check(cudaMalloc(&data, bytes), "cudaMalloc of a kernel workspace");
  data_ = static_cast<std::byte*>(data);
}

DeviceBuffer::~DeviceBuffer() { warn(cudaFree(data_), "cudaFree"); }

Context::Parts::Parts(Stream stream_, Bytes workspace_bytes, Bytes widening_bytes)
    : stream(stream_),
      device(current_device()),
      workspace(checked_workspace(workspace_bytes)),
      widened(widening_bytes),
      matmul(workspace.data(), workspace_bytes) {}

Context::Context(Stream stream, Bytes workspace_bytes, Bytes widening_bytes)
    : parts_(std::make_unique<Parts>(stream, workspace_bytes, widening_bytes)) {}
Context::~Context() = default;

Stream Context::stream() const { return parts_->stream; }
Bytes Context::workspace_bytes() const { return parts_->workspace.bytes(); }

}  // namespace optpipe::kernels::cuda
