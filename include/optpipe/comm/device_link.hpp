// Hidden states from one stage's GPU to the next stage's.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "optpipe/base/units.hpp"
#include "optpipe/comm/transport.hpp"

struct CUstream_st;

namespace optpipe::comm {

// Both ends of a stage: sends go to the next rank, receives come from the previous one (in a ring: of the
// last rank the first is next), in order. One thread may send while another receives. Before either is
// called, both ranks know that the message comes (the stages tell each other which sequences run, on
// Channel::batch), so neither end occupies its GPU while it waits.
class DeviceLink {
 public:
  virtual ~DeviceLink() = default;

  // In order behind the work on `stream`, of the thread's current device. Both return when the bytes have
  // left, or arrived; throw PeerError after the timeout, or when the connection has failed.
  virtual void send(const std::byte* from, Bytes bytes, CUstream_st* stream) = 0;
  virtual void recv(std::byte* to, Bytes bytes, CUstream_st* stream) = 0;
};

bool built_with_nccl();
std::string nccl_version();  // "2.28.3", or "none" where built without

// Connects each rank's current CUDA device with its neighbours' by NCCL: one communicator for each pair of
// neighbours, because a receive that waits would hold up the sends of a communicator shared with it.
// Collective; no two ranks may be on one GPU (NCCL cannot do that: check before). Throws PeerError.
std::unique_ptr<DeviceLink> connect_nccl(Transport& transport, Seconds timeout, bool ring = false);

}  // namespace optpipe::comm
