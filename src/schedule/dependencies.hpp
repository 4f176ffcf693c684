// Orders steps by what they read and write.
#pragma once

#include <array>
#include <vector>

#include "optpipe/schedule/program.hpp"

namespace optpipe::schedule {

// For each queue the last step known to be complete; a vector clock over queues.
using Clock = std::array<StepId, kQueues>;

// Joins `other` into `clock`.
void join(Clock& clock, const Clock& other);

// Fed with steps in program order, fills in each step's `after`: every earlier step that writes what it
// reads, or reads or writes what it writes. Steps already implied by others are left out.
class DependencyTracker {
 public:
  explicit DependencyTracker(std::size_t buffers) : uses_(buffers) {}
  void order(Step& step, StepId id);

 private:
  struct Uses {
    StepId writer;    // last one
    Clock readers{};  // since then, the last on each queue
  };
  std::vector<Uses> uses_;
  std::vector<Clock> finished_;  // per step: what is complete once it is
  Clock newest_{};               // last step of each queue so far
};

}  // namespace optpipe::schedule
