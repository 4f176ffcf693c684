// A device's clock beside the host's.
#pragma once

#include <functional>

#include "executor/cuda/device.hpp"

namespace optpipe::executor::cuda {

// Events of all streams of a device are timed by one clock, which runs a little faster or slower than the
// host's. The two meet twice, at the begin and at the end of a round, when the stream is idle and an event
// passes as soon as it is recorded.
class DeviceClock {
 public:
  using HostClock = std::function<double()>;  // seconds

  explicit DeviceClock(cudaStream_t stream)
      : stream_(stream), zero_(make_timed_event()), finish_(make_timed_event()) {}

  void start(const HostClock& now) { zero_s_ = mark(now, zero_.get()); }
  void finish(const HostClock& now) {
    const double finish_s = mark(now, finish_.get());
    const double by_device = seconds_between(zero_.get(), finish_.get());
    rate_ = by_device > 0 ? (finish_s - zero_s_) / by_device : 1;
  }

  cudaEvent_t zero() const { return zero_.get(); }  // device times count from here
  double to_host(double device_s) const { return zero_s_ + rate_ * device_s; }  // after finish()

 private:
  double mark(const HostClock& now, cudaEvent_t event) {
    check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
    check(cudaEventRecord(event, stream_), "cudaEventRecord");
    check(cudaEventSynchronize(event), "cudaEventSynchronize");
    return now();
  }

  cudaStream_t stream_;
  Event zero_, finish_;
  double zero_s_ = 0, rate_ = 1;
};

}  // namespace optpipe::executor::cuda
