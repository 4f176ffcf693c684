#include "schedule/visits.hpp"

namespace optpipe::schedule {

std::vector<Visit> list_visits(const StageParameters& p) {
  const auto runs = p.slice.runs();
  const bool looped = runs.size() > 1;
  std::vector<Visit> visits;
  std::int64_t stay = -1;
  const auto add = [&](Visit visit) {
    if (!looped) ++stay;
    visit.stay = stay;
    visits.push_back(visit);
  };
  for (std::int64_t t = p.first_token_step; t < p.first_token_step + p.token_steps; ++t) {
    for (std::size_t r = 0; r < runs.size(); ++r) {
      if (looped) ++stay;
      const auto run = static_cast<std::int64_t>(r);
      for (std::int64_t m = 0; m < p.micro_batches; ++m) {
        for (std::int64_t l = 0; l < runs[r].layers; ++l)
          add({TokenStep(t), MicroBatchId(m), LayerId(runs[r].first.value + l), l == 0,
               l + 1 == runs[r].layers, false, p.layer_weights.any, run});
        if (p.slice.head && r + 1 == runs.size())
          add({TokenStep(t), MicroBatchId(m), p.slice.end(), false, false, true, p.head_weights.any, run});
      }
    }
  }
  return visits;
}

}  // namespace optpipe::schedule
