// Predicts a run: builds the programs that the ranks would run, prices each step by a machine's description,
// and simulates. docs/prediction.md says how each step is priced, and how far predictions were from
// measurements.
#pragma once

#include <string>
#include <vector>

#include "optpipe/memory/policy.hpp"
#include "optpipe/memory/round.hpp"
#include "optpipe/model/slice.hpp"
#include "optpipe/planner/backend.hpp"
#include "optpipe/schedule/timeline.hpp"
#include "optpipe/simulator/machine.hpp"

namespace optpipe::simulator {

struct Scenario {
  model::ModelConfig config;
  std::vector<model::StageSlice> slices;  // one a rank
  memory::Policy policy;
  DType weights = DType::f16;
  int ranks_per_node = 1;
  planner::Backend backend = planner::Backend::cuda;
  bool device_link = false;  // hidden states travel from GPU to GPU, within a node
  int threads = 1;           // of a rank
  std::vector<memory::Sequence> sequences;

  int ranks() const { return static_cast<int>(slices.size()); }
  bool is_gpu() const { return backend == planner::Backend::cuda; }
};

struct ResourceUse {
  std::string name;
  double share = 0;  // of its capacity, over the simulated time
};

struct Prediction {
  double prefill_s = 0, decode_s = 0;            // of all rounds, as metrics::Result counts them
  double first_step_s = 0, last_step_s = 0;      // decode steps of the largest round
  std::vector<schedule::Utilization> use;        // [rank], of the simulated steps of the largest round
  std::vector<ResourceUse> resources;            // shared ones, the busiest first
  std::int64_t rounds = 0, simulated_steps = 0;  // token steps of a round
  std::string deadlock;                          // what waits for ever; empty: nothing

  double total_s() const { return prefill_s + decode_s; }
};

struct PredictOptions {
  // Token steps of a round that are simulated; of longer rounds, decode steps at the begin, in the middle and
  // at the end, between which the time of a step is taken as a straight line in the context's length.
  std::int64_t most_steps = 8;
};

// Sequences are taken to run to their last token. At least one sequence.
Prediction predict(const Scenario& scenario, const Machine& machine, const PredictOptions& options = {});

}  // namespace optpipe::simulator
