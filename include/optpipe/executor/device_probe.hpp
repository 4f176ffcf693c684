// Measures what a rank computes with: a GPU, or its share of the cores. Everything that is timed is what the
// executors do, by the same kernels and copies.
#pragma once

#include <memory>

#include "optpipe/base/units.hpp"
#include "optpipe/comm/device_link.hpp"
#include "optpipe/simulator/machine.hpp"

namespace optpipe::executor {

enum class Way : std::uint8_t { in, out, both };  // to the device, from it, both at once

class DeviceProbe {
 public:
  virtual ~DeviceProbe() = default;

  virtual simulator::Device rates() = 0;  // takes a few seconds

  // Large copies between host and device memory for so many seconds: bytes a second, of both ways together.
  virtual double copy_rate(Way way, double seconds) = 0;
  // What a copy of a row of keys takes, as many of them go one after another.
  virtual double small_copy_s() = 0;

  // Memory of the device for messages of DeviceLink, at most kLinkBytes each; where there is no device, a
  // violation of the contract.
  static constexpr Bytes kLinkBytes = 16 * kMiB;
  virtual void send(comm::DeviceLink& link, Bytes bytes) = 0;
  virtual void recv(comm::DeviceLink& link, Bytes bytes) = 0;
};

// `threads`: of this rank.
std::unique_ptr<DeviceProbe> make_cpu_probe(int threads);
// Throws SystemError where a CUDA call fails, CapacityError where the GPU has less than 6 GiB free,
// UsageError where the build has no CUDA.
std::unique_ptr<DeviceProbe> make_cuda_probe(int device, int threads);

}  // namespace optpipe::executor
