// Hidden states between GPUs through host memory: in chunks, through two pinned buffers in turn, so that the
// copy of one chunk runs beside the sending of another.
#pragma once

#include <array>

#include "executor/cuda/device.hpp"
#include "optpipe/comm/transport.hpp"
#include "optpipe/memory/arena.hpp"

namespace optpipe::executor::cuda {

class HiddenLink {
 public:
  static constexpr Bytes kChunk = 4 * kMiB;

  HiddenLink(comm::Transport& transport, memory::MemoryResource& pinned, cudaStream_t stream);

  // Both block the calling thread until the last byte has left or arrived at the pinned buffers. After recv,
  // the last copies to `to` may still be under way on the stream.
  void send(Rank peer, const std::byte* from, Bytes bytes);
  void recv(Rank peer, std::byte* to, Bytes bytes);

 private:
  comm::Transport& transport_;
  cudaStream_t stream_;
  memory::Arena arena_;
  std::array<std::span<std::byte>, 2> buffers_;
  std::array<Event, 2> done_;
};

}  // namespace optpipe::executor::cuda
