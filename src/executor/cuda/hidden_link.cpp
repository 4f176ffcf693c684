#include "executor/cuda/hidden_link.hpp"

#include <algorithm>

#include "optpipe/base/check.hpp"

namespace optpipe::executor::cuda {

HiddenLink::HiddenLink(comm::Transport& transport, memory::MemoryResource& pinned, cudaStream_t stream)
    : transport_(transport), stream_(stream), arena_("staging of hidden states", 2 * kChunk, pinned) {
  for (std::size_t i = 0; i < 2; ++i) {
    buffers_[i] = arena_.take(kChunk);
    done_[i] = make_event();
  }
}

void HiddenLink::send(Rank peer, const std::byte* from, Bytes bytes) {
  const Bytes chunks = (bytes + kChunk - 1) / kChunk;
  const auto size = [&](Bytes chunk) { return std::min(kChunk, bytes - chunk * kChunk); };
  const auto fetch = [&](Bytes chunk) {
    check(cudaMemcpyAsync(buffers_[chunk % 2].data(), from + chunk * kChunk, size(chunk),
                          cudaMemcpyDeviceToHost, stream_),
          "cudaMemcpyAsync");
    check(cudaEventRecord(done_[chunk % 2].get(), stream_), "cudaEventRecord");
  };
  fetch(0);
  for (Bytes chunk = 0; chunk < chunks; ++chunk) {
    if (chunk + 1 < chunks) fetch(chunk + 1);  // into the other buffer, whose chunk has been sent
    check(cudaEventSynchronize(done_[chunk % 2].get()), "cudaEventSynchronize");
    transport_.send(peer, comm::Channel::hidden, buffers_[chunk % 2].first(size(chunk)));
  }
}

void HiddenLink::recv(Rank peer, std::byte* to, Bytes bytes) {
  for (Bytes chunk = 0; chunk * kChunk < bytes; ++chunk) {
    const Bytes size = std::min(kChunk, bytes - chunk * kChunk);
    const auto buffer = buffers_[chunk % 2];
    check(cudaEventSynchronize(done_[chunk % 2].get()), "cudaEventSynchronize");
    const auto arrived = transport_.recv(peer, comm::Channel::hidden, buffer);
    OPTPIPE_CHECK(arrived == size, "{} bytes of hidden states arrived, not {}", arrived, size);
    check(cudaMemcpyAsync(to + chunk * kChunk, buffer.data(), size, cudaMemcpyHostToDevice, stream_),
          "cudaMemcpyAsync");
    check(cudaEventRecord(done_[chunk % 2].get(), stream_), "cudaEventRecord");
  }
}

}  // namespace optpipe::executor::cuda
