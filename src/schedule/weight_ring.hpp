// Decides which slot holds which layer's streamed weights, and when each load is issued.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "optpipe/base/ids.hpp"

namespace optpipe::schedule {

// One pass of a micro-batch through a layer (or the head); a stage's program is a list of visits.
struct Visit {
  TokenStep token_step;
  MicroBatchId micro_batch;
  LayerId layer;
  bool first = false;  // of the stage's layers
  bool last = false;   // of the stage's layers; the head's visit follows where the stage has it
  bool head = false;
  bool streamed = false;  // its weights pass through a slot
};

struct WeightLoad {
  std::size_t visit = 0;  // that needs it
  std::int32_t slot = 0;
};

class WeightRing {
 public:
  // `lag`: for so many visits beyond its own, a visit's weights stay in use.
  WeightRing(const std::vector<Visit>& visits, int slots, int lag = 0);

  // Slot that holds the weights of the visit, or -1 where they are not streamed.
  std::int32_t slot_of(std::size_t visit) const { return slot_of_[visit]; }
  // Loads to be issued while the visit's batches are computed; those for the visit itself come first.
  const std::vector<WeightLoad>& issued_during(std::size_t visit) const { return issued_[visit]; }

 private:
  std::vector<std::int32_t> slot_of_;
  std::vector<std::vector<WeightLoad>> issued_;
};

}  // namespace optpipe::schedule
