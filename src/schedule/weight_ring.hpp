// Decides which slot holds which layer's streamed weights, and when each load is issued.
#pragma once

#include <cstdint>
#include <vector>

#include "schedule/visits.hpp"

namespace optpipe::schedule {

// Its parts are issued evenly during the visits [from, until), and those left over before visit `visit`,
// which needs them all.
struct WeightLoad {
  std::size_t visit = 0;
  std::int32_t slot = 0;
  std::size_t from = 0, until = 0;
};

class WeightRing {
 public:
  // `lag`: for so many visits beyond its own, a visit's weights stay in use.
  WeightRing(const std::vector<Visit>& visits, int slots, int lag = 0);

  // Slot that holds the weights of the visit, or -1 where they are not streamed.
  std::int32_t slot_of(std::size_t visit) const { return slot_of_[visit]; }
  // Loads whose first part is issued during the visit, in the order in which they are needed.
  const std::vector<WeightLoad>& issued_during(std::size_t visit) const { return issued_[visit]; }

 private:
  std::vector<std::int32_t> slot_of_;
  std::vector<std::vector<WeightLoad>> issued_;
};

}  // namespace optpipe::schedule
