// The order of a stage's work: which layer, for which micro-batch, when.
#pragma once

#include <cstdint>
#include <vector>

#include "optpipe/schedule/builder.hpp"

namespace optpipe::schedule {

// One pass of a micro-batch, or in prefill of a piece of it, through a layer (or the head); a stage's program
// is a list of visits.
struct Visit {
  TokenStep token_step;
  MicroBatchId micro_batch;
  LayerId layer;
  bool first = false;  // of a run: hidden states enter the stage
  bool last = false;   // of a run: they leave it, unless the head's visit follows
  bool head = false;
  bool streamed = false;  // its weights pass through a slot
  // GPU batches [begin, end), of each one part of so many.
  std::int64_t begin = 0, end = 0;
  std::int16_t part = 0, parts = 1;
  std::int64_t run = 0;   // of the stage's runs of layers
  std::int64_t stay = 0;  // visits of a stay share their weights: each layer is loaded at most once for them
};

// For every token step: run after run of the slice, and in each one micro-batch after another (in prefill:
// piece after piece of it), layer by layer. A looped stage stays with a run until all micro-batches have
// passed, so that its weights are loaded once for all of them; a contiguous one, whose run is all that it
// has, would have to keep every layer for that, and stays for one visit.
std::vector<Visit> list_visits(const StageParameters& parameters);

}  // namespace optpipe::schedule
