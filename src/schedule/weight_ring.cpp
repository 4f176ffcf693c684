#include "schedule/weight_ring.hpp"

#include <algorithm>

namespace optpipe::schedule {
namespace {

struct Slot {
  LayerId holds;
  std::int64_t last_visit = -1;  // that uses it
};

struct Stay {
  std::int64_t begin = 0, end = 0;  // visits
  std::vector<LayerId> streamed;  // layers whose weights pass through slots, in the order of their first use

  std::int64_t position_of(LayerId layer) const {
    return std::ranges::find(streamed, layer) - streamed.begin();
  }
  std::int64_t loads() const { return static_cast<std::int64_t>(streamed.size()); }
};

std::vector<Stay> list_stays(const std::vector<Visit>& visits) {
  std::vector<Stay> stays;
  for (std::size_t v = 0; v < visits.size(); ++v) {
    const auto number = static_cast<std::int64_t>(v);
    if (static_cast<std::int64_t>(stays.size()) == visits[v].stay) stays.push_back({number, number, {}});
    Stay& stay = stays.back();
    stay.end = number + 1;
    if (visits[v].streamed && stay.position_of(visits[v].layer) == stay.loads())
      stay.streamed.push_back(visits[v].layer);
  }
  return stays;
}

}  // namespace

// While one stay is computed, the loads for the next one share its visits evenly, one behind the other:
// sooner would delay loads that are needed first, later would leave the load queue idle. Slots for more stays
// than two let loads begin so much earlier.
WeightRing::WeightRing(const std::vector<Visit>& visits, int slots, int lag)
    : slot_of_(visits.size(), -1), issued_(visits.size()) {
  const auto stays = list_stays(visits);
  std::vector<Slot> ring(static_cast<std::size_t>(std::max(slots, 1)));
  for (std::size_t v = 0; v < visits.size(); ++v) {
    const Visit& visit = visits[v];
    if (!visit.streamed) continue;
    const auto need = static_cast<std::int64_t>(v);
    auto slot = std::ranges::find(ring, visit.layer, &Slot::holds);
    if (slot == ring.end()) {
      slot = std::ranges::min_element(ring, {}, &Slot::last_visit);  // unused for longest
      const Stay& own = stays[static_cast<std::size_t>(visit.stay)];
      const auto ahead = std::max<std::int64_t>(1, slots / own.loads() - 1);
      std::int64_t from = std::max<std::int64_t>(0, need - ahead), until = need;
      if (visit.stay >= ahead) {
        const Stay& before = stays[static_cast<std::size_t>(visit.stay - ahead)];
        const auto share = [&](std::int64_t i) { return (before.end - before.begin) * i / own.loads(); };
        const auto position = own.position_of(visit.layer);
        from = before.begin + share(position);
        until = before.begin + share(position + 1);
      }
      const std::int64_t free = slot->last_visit < 0 ? 0 : slot->last_visit + 1 + lag;
      from = std::min(std::max(from, free), need);
      issued_[static_cast<std::size_t>(from)].push_back(
          {v, static_cast<std::int32_t>(slot - ring.begin()), static_cast<std::size_t>(from),
           static_cast<std::size_t>(std::max(until, from + 1))});
      slot->holds = visit.layer;
    }
    slot->last_visit = need;
    slot_of_[v] = static_cast<std::int32_t>(slot - ring.begin());
  }
}

}  // namespace optpipe::schedule
