#include "executor/cuda/device.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "optpipe/base/error.hpp"

namespace optpipe::executor::cuda {

using kernels::cuda::warn;

void use_device(int device) { check(cudaSetDevice(device), "cudaSetDevice"); }

void StreamDeleter::operator()(cudaStream_t stream) const noexcept {
  warn(cudaStreamDestroy(stream), "cudaStreamDestroy");
}
void EventDeleter::operator()(cudaEvent_t event) const noexcept {
  warn(cudaEventDestroy(event), "cudaEventDestroy");
}

Stream make_stream() {
  cudaStream_t stream = nullptr;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
  return Stream(stream);
}

Event make_event() {
  cudaEvent_t event = nullptr;
  check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "cudaEventCreateWithFlags");
  return Event(event);
}

Event make_timed_event() {
  cudaEvent_t event = nullptr;
  check(cudaEventCreate(&event), "cudaEventCreate");
  return Event(event);
}

double seconds_between(cudaEvent_t begin, cudaEvent_t end) {
  float milliseconds = 0;
  check(cudaEventElapsedTime(&milliseconds, begin, end), "cudaEventElapsedTime");
  return static_cast<double>(milliseconds) * 1e-3;
}

std::byte* DeviceMemory::allocate(Bytes bytes, const std::string& purpose) {
  void* memory = nullptr;
  const cudaError_t status = cudaMalloc(&memory, bytes);
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // the error is handled here; it must not show up at the next call
    std::size_t free = 0, total = 0;
    check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
    throw CapacityError(fmt::format(
        "{} for {} do not fit on the GPU, which has {} free: use smaller batches, or put less on it by "
        "--percent",
        format_bytes(bytes), purpose, format_bytes(free)));
  }
  check(status, "cudaMalloc");
  taken_ += bytes;
  peak_ = std::max(peak_, taken_);
  return static_cast<std::byte*>(memory);
}

void DeviceMemory::release(std::byte* memory, Bytes bytes) noexcept {
  warn(cudaFree(memory), "cudaFree");
  taken_ -= bytes;
}

std::byte* PinnedPages::allocate(Bytes bytes, const std::string& purpose) {
  std::byte* memory = HostPages::allocate(bytes, purpose);
  const cudaError_t status = cudaHostRegister(memory, bytes, cudaHostRegisterPortable);
  if (status != cudaSuccess) {
    HostPages::release(memory, bytes);
    check(status, "cudaHostRegister");
  }
  pinned_ += bytes;
  return memory;
}

void PinnedPages::release(std::byte* memory, Bytes bytes) noexcept {
  warn(cudaHostUnregister(memory), "cudaHostUnregister");
  pinned_ -= bytes;
  HostPages::release(memory, bytes);
}

void StreamCopier::copy(void* to, const void* from, Bytes bytes) {
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, stream_), "cudaMemcpyAsync");
}

void StreamCopier::finish() { check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize"); }

}  // namespace optpipe::executor::cuda
