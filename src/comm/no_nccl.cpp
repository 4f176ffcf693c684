// Stands in for NCCL where the program is built without it.
#include "optpipe/base/error.hpp"
#include "optpipe/comm/device_link.hpp"

namespace optpipe::comm {

bool built_with_nccl() { return false; }
std::string nccl_version() { return "none"; }

std::unique_ptr<DeviceLink> connect_nccl(Transport&, Seconds, bool) {
  throw UsageError("--comm-device gpu: this build has no NCCL; use --comm-device cpu");
}

}  // namespace optpipe::comm
