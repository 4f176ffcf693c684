#include "schedule/visits.hpp"

namespace optpipe::schedule {

namespace {

// The pieces of a micro-batch in the token step: which GPU batches, and which part of them.
std::vector<Visit> list_pieces(const StageParameters& p, std::int64_t token_step) {
  const auto& [pieces, parts] = token_step == 0 ? p.prefill : memory::PrefillCut{};
  std::vector<Visit> list;
  for (std::int64_t q = 0; q < pieces; ++q) {
    Visit piece{.token_step = TokenStep(token_step)};
    if (parts > 1) {
      piece.begin = q / parts;
      piece.end = piece.begin + 1;
      piece.part = static_cast<std::int16_t>(q % parts);
      piece.parts = static_cast<std::int16_t>(parts);
    } else {
      piece.begin = p.gpu_batches * q / pieces;
      piece.end = p.gpu_batches * (q + 1) / pieces;
    }
    list.push_back(piece);
  }
  return list;
}

}  // namespace

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
  const auto pass = [&](Visit visit, std::size_t r) {
    visit.run = static_cast<std::int64_t>(r);
    const bool head = p.slice.head && r + 1 == runs.size();
    for (std::int64_t l = 0; l < runs[r].layers; ++l) {
      visit.layer = LayerId(runs[r].first.value + l);
      visit.first = l == 0;
      visit.last = l + 1 == runs[r].layers;
      visit.streamed = p.layer_weights.any;
      add(visit);
    }
    visit.layer = p.slice.end();
    visit.first = visit.last = false;
    visit.head = true;
    visit.streamed = p.head_weights.any;
    if (head) add(visit);
  };
  for (std::int64_t t = p.first_token_step; t < p.first_token_step + p.token_steps; ++t) {
    const auto pieces = list_pieces(p, t);
    for (std::size_t r = 0; r < runs.size(); ++r) {
      if (looped) ++stay;
      for (std::int64_t m = 0; m < p.micro_batches; ++m)
        for (Visit piece : pieces) {
          piece.micro_batch = MicroBatchId(m);
          pass(piece, r);
        }
    }
  }
  return visits;
}

}  // namespace optpipe::schedule
