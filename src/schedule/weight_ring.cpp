#include "schedule/weight_ring.hpp"

#include <algorithm>

namespace optpipe::schedule {
namespace {

struct Slot {
  LayerId holds;
  std::int64_t last_visit = -1;  // that uses it
};

}  // namespace

WeightRing::WeightRing(const std::vector<Visit>& visits, int slots, int lag)
    : slot_of_(visits.size(), -1), issued_(visits.size()) {
  std::vector<Slot> ring(static_cast<std::size_t>(std::max(slots, 1)));
  for (std::size_t v = 0; v < visits.size(); ++v) {
    if (!visits[v].streamed) continue;
    auto slot = std::ranges::find(ring, visits[v].layer, &Slot::holds);
    if (slot == ring.end()) {
      // The slot unused for longest may be refilled as soon as its last visit is over, but no earlier than
      // slots - 1 visits ahead: sooner would only delay loads that are needed first.
      slot = std::ranges::min_element(ring, {}, &Slot::last_visit);
      const auto ahead = static_cast<std::int64_t>(v) - static_cast<std::int64_t>(ring.size()) + 1;
      const auto issue =
          std::max({slot->last_visit < 0 ? 0 : slot->last_visit + 1 + lag, ahead + lag, std::int64_t{0}});
      issued_[static_cast<std::size_t>(issue)].push_back({v, static_cast<std::int32_t>(slot - ring.begin())});
      slot->holds = visits[v].layer;
    }
    slot->last_visit = static_cast<std::int64_t>(v);
    slot_of_[v] = static_cast<std::int32_t>(slot - ring.begin());
  }
}

}  // namespace optpipe::schedule
