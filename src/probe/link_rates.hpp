// Latency and bandwidth between neighbours.
#pragma once

#include "optpipe/comm/device_link.hpp"
#include "optpipe/executor/device_probe.hpp"
#include "optpipe/probe/probe.hpp"

namespace optpipe::probe {

// Collective. One pair of neighbours after another; `link` may be null. To the next rank; of the last rank:
// nothing.
LinkRates link_rates(comm::Transport& transport, executor::DeviceProbe& device, comm::DeviceLink* link);

}  // namespace optpipe::probe
