// Hidden states between GPUs through host memory: in chunks, through two pinned buffers in turn, so that the
// copy of one chunk runs beside the sending of another.
#pragma once

#include <array>

#include "executor/cuda/device.hpp"
#include "optpipe/comm/device_link.hpp"
#include "optpipe/memory/arena.hpp"
#include "optpipe/planner/backend.hpp"

namespace optpipe::executor::cuda {

// After recv, the last copies to `to` may still be under way on the stream.
class HiddenLink final : public comm::DeviceLink {
 public:
  static constexpr Bytes kChunk = planner::cuda::kLinkChunk;

  // `bytes`: two chunks for each direction.
  HiddenLink(comm::Transport& transport, bool sends, bool receives, Bytes bytes,
             memory::MemoryResource& pinned);

  void send(const std::byte* from, Bytes bytes, cudaStream_t stream) override;
  void recv(std::byte* to, Bytes bytes, cudaStream_t stream) override;

 private:
  struct Buffer {
    std::span<std::byte> memory;
    Event done;
  };
  using Buffers = std::array<Buffer, 2>;
  Buffers take_buffers();

  comm::Transport& transport_;
  memory::Arena arena_;
  Buffers sending_, receiving_;
};

}  // namespace optpipe::executor::cuda
