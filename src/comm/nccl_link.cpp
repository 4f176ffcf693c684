#include <cuda_runtime_api.h>
#include <fmt/format.h>
#include <nccl.h>

#include <array>
#include <cstring>
#include <optional>

#include "comm/backoff.hpp"
#include "optpipe/base/log.hpp"
#include "optpipe/comm/device_link.hpp"

namespace optpipe::comm {
namespace {

using Clock = std::chrono::steady_clock;

void check_cuda(cudaError_t status, const char* call) {
  if (status != cudaSuccess)
    throw SystemError(
        fmt::format("{} failed: {} ({})", call, cudaGetErrorString(status), cudaGetErrorName(status)));
}

struct EventDeleter {
  void operator()(cudaEvent_t event) const noexcept { cudaEventDestroy(event); }
};
using Event = std::unique_ptr<CUevent_st, EventDeleter>;

// The connection of two neighbours. The communicator does not block: whatever takes long is polled, so that a
// lost peer ends in an error.
class Pair {
 public:
  // `own`: 0 for the end that sends, 1 for the end that receives.
  Pair(const ncclUniqueId& id, int own, Rank peer, Seconds timeout) : peer_(peer), timeout_(timeout) {
    cudaEvent_t event = nullptr;
    check_cuda(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "cudaEventCreateWithFlags");
    moved_.reset(event);
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    expect(ncclCommInitRankConfig(&communicator_, 2, id, own, &config), "ncclCommInitRankConfig");
  }
  Pair(const Pair&) = delete;
  Pair& operator=(const Pair&) = delete;

  // A communicator that is in order is finished in order with the peer, but the end of a run waits for no
  // one.
  ~Pair() {
    if (communicator_ == nullptr) return;
    const ncclResult_t status = ncclCommAbort(communicator_);
    if (status != ncclSuccess) log::warn("ncclCommAbort failed: {}", ncclGetErrorString(status));
  }

  void finish_connecting() { settle("to connect with"); }

  void send(const std::byte* from, Bytes bytes, cudaStream_t stream) {
    expect(ncclSend(from, bytes, ncclInt8, 1, communicator_, stream), "ncclSend");
    finish("to send to", stream);
  }
  void recv(std::byte* to, Bytes bytes, cudaStream_t stream) {
    expect(ncclRecv(to, bytes, ncclInt8, 0, communicator_, stream), "ncclRecv");
    finish("for hidden states of", stream);
  }

 private:
  void expect(ncclResult_t status, const char* call) {
    if (status == ncclSuccess || status == ncclInProgress) return;
    if (status == ncclUnhandledCudaError)  // this GPU has failed, not the peer
      throw SystemError(fmt::format("{} (with rank {}) failed: {}; {}", call, peer_.value,
                                    cudaGetErrorString(cudaPeekAtLastError()),
                                    ncclGetLastError(communicator_)));
    throw PeerError(fmt::format("{} (with rank {}) failed: {}; {}", call, peer_.value,
                                ncclGetErrorString(status), ncclGetLastError(communicator_)));
  }

  // The state of what the communicator does by itself: true when it is at rest.
  bool is_settled() {
    ncclResult_t state = ncclSuccess;
    expect(ncclCommGetAsyncError(communicator_, &state), "ncclCommGetAsyncError");
    expect(state, "NCCL");
    return state != ncclInProgress;
  }

  template <class Done>
  void wait_until(Done done, const char* what) {
    const auto deadline = Clock::now() + timeout_;
    for (Backoff backoff; !done(); backoff.pause())
      if (Clock::now() > deadline)
        throw PeerError(
            fmt::format("waited {:.0f} s {} rank {} over NCCL: it is stopped, lost or far too slow (raise "
                        "--comm-timeout if it is only slow)",
                        timeout_.count(), what, peer_.value));
  }

  void settle(const char* what) {
    wait_until([&] { return is_settled(); }, what);
  }

  void finish(const char* what, cudaStream_t stream) {
    settle(what);  // only then is the operation on the stream
    check_cuda(cudaEventRecord(moved_.get(), stream), "cudaEventRecord");
    const auto has_moved = [&] {
      const cudaError_t status = cudaEventQuery(moved_.get());
      if (status == cudaSuccess) return true;
      if (status != cudaErrorNotReady) check_cuda(status, "cudaEventQuery");
      is_settled();  // throws where the peer has failed
      return false;
    };
    wait_until(has_moved, what);
  }

  Rank peer_;
  Seconds timeout_;
  ncclComm_t communicator_ = nullptr;
  Event moved_;
};

ncclUniqueId make_id() {
  ncclUniqueId id;
  if (const ncclResult_t status = ncclGetUniqueId(&id); status != ncclSuccess)
    throw PeerError(fmt::format("ncclGetUniqueId failed: {}", ncclGetErrorString(status)));
  return id;
}

class NcclLink final : public DeviceLink {
 public:
  NcclLink(Transport& transport, Seconds timeout, bool ring) {
    const Rank next = comm::next(transport), previous = comm::previous(transport);
    if (ring || next.value > 0) {
      const ncclUniqueId id = make_id();
      transport.send(next, Channel::control, std::as_bytes(std::span(&id, 1)));
      down_.emplace(id, 0, next, timeout);
    }
    if (ring || !transport.is_first()) {
      ncclUniqueId id;
      transport.recv(previous, Channel::control, std::as_writable_bytes(std::span(&id, 1)));
      up_.emplace(id, 1, previous, timeout);
    }
    if (down_) down_->finish_connecting();
    if (up_) up_->finish_connecting();
  }

  void send(const std::byte* from, Bytes bytes, CUstream_st* stream) override {
    down_->send(from, bytes, stream);
  }
  void recv(std::byte* to, Bytes bytes, CUstream_st* stream) override { up_->recv(to, bytes, stream); }

 private:
  std::optional<Pair> up_, down_;
};

}  // namespace

bool built_with_nccl() { return true; }

std::string nccl_version() {
  int version = 0;
  if (ncclGetVersion(&version) != ncclSuccess) return "unknown";
  return fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100);
}

std::unique_ptr<DeviceLink> connect_nccl(Transport& transport, Seconds timeout, bool ring) {
  return std::make_unique<NcclLink>(transport, timeout, ring);
}

}  // namespace optpipe::comm
