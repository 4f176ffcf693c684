// How hidden states travel between the ranks' GPUs.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "optpipe/comm/device_link.hpp"
#include "optpipe/comm/transport.hpp"

namespace optpipe::executor {

enum class CommDevice : std::uint8_t {
  automatic,  // gpu where it is possible, cpu elsewhere
  gpu,        // NCCL, from GPU to GPU
  cpu,        // through host memory, over the transport
};

// What a rank brings along.
struct RankDevice {
  std::string host;
  std::string gpu;  // its UUID; empty: the rank computes on the CPU
  std::string pci_bus;
  bool has_nccl = false;
};

// Whether NCCL carries hidden states between these ranks. Throws UsageError where it was asked for and
// cannot.
bool choose_nccl(const std::vector<RankDevice>& ranks, CommDevice wanted);

// Collective: whether NCCL will carry hidden states; connects nothing yet. `gpu`: of this rank, none where it
// computes on the CPU. Throws what choose_nccl does (Reported on ranks other than 0).
bool decide_nccl(comm::Transport& transport, std::optional<int> gpu, CommDevice wanted);

// Collective: decides, and connects where NCCL is chosen; `ring`: the last rank sends to the first, too
// (looped stages). Null where hidden states go through the transport. Throws UsageError (Reported on ranks
// other than 0), and PeerError where a neighbour does not answer.
std::shared_ptr<comm::DeviceLink> connect_devices(comm::Transport& transport, std::optional<int> gpu,
                                                  CommDevice wanted, comm::Seconds timeout,
                                                  bool ring = false);

}  // namespace optpipe::executor
