#include "executor/cuda/hidden_link.hpp"

#include <algorithm>

#include "optpipe/base/check.hpp"

namespace optpipe::executor::cuda {

HiddenLink::HiddenLink(comm::Transport& transport, bool sends, bool receives, Bytes bytes,
                       memory::MemoryResource& pinned)
    : transport_(transport), arena_("staging of hidden states", bytes, pinned) {
  if (sends) sending_ = take_buffers();
  if (receives) receiving_ = take_buffers();
}

HiddenLink::Buffers HiddenLink::take_buffers() {
  Buffers buffers;
  for (Buffer& buffer : buffers) buffer = {arena_.take(kChunk), make_event()};
  return buffers;
}

void HiddenLink::send(const std::byte* from, Bytes bytes, cudaStream_t stream) {
  const Rank peer = comm::next(transport_);
  const Bytes chunks = (bytes + kChunk - 1) / kChunk;
  const auto size = [&](Bytes chunk) { return std::min(kChunk, bytes - chunk * kChunk); };
  const auto fetch = [&](Bytes chunk) {
    const Buffer& buffer = sending_[chunk % 2];
    check(cudaMemcpyAsync(buffer.memory.data(), from + chunk * kChunk, size(chunk), cudaMemcpyDeviceToHost,
                          stream),
          "cudaMemcpyAsync");
    check(cudaEventRecord(buffer.done.get(), stream), "cudaEventRecord");
  };
  fetch(0);
  for (Bytes chunk = 0; chunk < chunks; ++chunk) {
    if (chunk + 1 < chunks) fetch(chunk + 1);  // into the other buffer, whose chunk has been sent
    const Buffer& buffer = sending_[chunk % 2];
    check(cudaEventSynchronize(buffer.done.get()), "cudaEventSynchronize");
    transport_.send(peer, comm::Channel::hidden, buffer.memory.first(size(chunk)));
  }
}

void HiddenLink::recv(std::byte* to, Bytes bytes, cudaStream_t stream) {
  const Rank peer = comm::previous(transport_);
  for (Bytes chunk = 0; chunk * kChunk < bytes; ++chunk) {
    const Bytes size = std::min(kChunk, bytes - chunk * kChunk);
    const Buffer& buffer = receiving_[chunk % 2];
    check(cudaEventSynchronize(buffer.done.get()), "cudaEventSynchronize");
    const auto arrived = transport_.recv(peer, comm::Channel::hidden, buffer.memory);
    OPTPIPE_CHECK(arrived == size, "{} bytes of hidden states arrived, not {}", arrived, size);
    check(cudaMemcpyAsync(to + chunk * kChunk, buffer.memory.data(), size, cudaMemcpyHostToDevice, stream),
          "cudaMemcpyAsync");
    check(cudaEventRecord(buffer.done.get(), stream), "cudaEventRecord");
  }
}

}  // namespace optpipe::executor::cuda
