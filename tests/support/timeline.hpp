// Checks of what executors report of the times of steps.
#pragma once

#include "support/pipeline.hpp"

namespace optpipe::test {

// Every step has at most one time; it ends no earlier than it begins; steps of a queue run one after another;
// and no step begins before a step that it waits for has ended. `tolerance` in seconds: of the clock. With
// `devices_only` the latter is checked only between steps of a device, which have one clock.
void expect_in_order(const Timeline& timeline, double tolerance, bool devices_only = false);

}  // namespace optpipe::test
