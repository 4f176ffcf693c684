// One GPU as the executor sees it: memory, streams, events. Every call is checked; failures are SystemErrors
// that name it.
#pragma once

#include <cuda_runtime_api.h>

#include <memory>

#include "executor/stage/backend.hpp"
#include "kernels/cuda/status.hpp"
#include "optpipe/memory/resource.hpp"

namespace optpipe::executor::cuda {

using kernels::cuda::check;

// Makes `device` the calling thread's current one. Each thread that talks to the GPU does so first.
void use_device(int device);

struct StreamDeleter {
  void operator()(cudaStream_t stream) const noexcept;
};
using Stream = std::unique_ptr<CUstream_st, StreamDeleter>;
Stream make_stream();  // does not synchronize with the default stream

struct EventDeleter {
  void operator()(cudaEvent_t event) const noexcept;
};
using Event = std::unique_ptr<CUevent_st, EventDeleter>;
Event make_event();  // without timing
Event make_timed_event();
double seconds_between(cudaEvent_t begin, cudaEvent_t end);  // both have passed

// cudaMalloc, once an arena.
class DeviceMemory final : public memory::MemoryResource {
 public:
  std::byte* allocate(Bytes bytes, const std::string& purpose) override;
  void release(std::byte* memory, Bytes bytes) noexcept override;
  bool is_host_accessible() const override { return false; }
  Bytes peak() const { return peak_; }

 private:
  Bytes taken_ = 0, peak_ = 0;
};

// Host pages registered with CUDA at their exact size, so that copies run at full speed and asynchronously.
class PinnedPages final : public memory::HostPages {
 public:
  using HostPages::HostPages;
  std::byte* allocate(Bytes bytes, const std::string& purpose) override;
  void release(std::byte* memory, Bytes bytes) noexcept override;
  Bytes pinned() const { return pinned_; }

 private:
  Bytes pinned_ = 0;
};

// Copies on one stream, in whichever direction the pointers say.
class StreamCopier final : public Copier {
 public:
  explicit StreamCopier(cudaStream_t stream) : stream_(stream) {}
  void copy(void* to, const void* from, Bytes bytes) override;
  void finish() override;

 private:
  cudaStream_t stream_;
};

}  // namespace optpipe::executor::cuda
