// What each step of a run costs on a machine.
#pragma once

#include <memory>
#include <vector>

#include "optpipe/memory/kv_layout.hpp"
#include "optpipe/planner/stage_plan.hpp"
#include "simulator/compute_cost.hpp"
#include "simulator/node_resources.hpp"

namespace optpipe::simulator {

// What ranks with slices of the same shape share.
struct StageShape {
  planner::StagePlan plan;
  memory::KvLayout kv;
};

class CostModel {
 public:
  // All must outlive the model. `first_decode[t]`: which token step of the round the program's step t stands
  // for.
  CostModel(const Scenario& scenario, const Machine& machine, const NodeResources& resources,
            const memory::Round& round, std::vector<std::int64_t> token_steps,
            std::vector<std::shared_ptr<const StageShape>> shapes);

  Cost operator()(const schedule::Program& program, const schedule::Step& step) const;

 private:
  using Step = schedule::Step;
  using Program = schedule::Program;

  const StageShape& shape(const Program& program) const {
    return *shapes_[static_cast<std::size_t>(program.rank.value)];
  }
  std::int64_t layer_in_slice(const Program& program, const Step& step) const;
  const memory::GpuBatch& gpu_batch(const Step& step) const;
  memory::Places places(const Step& step) const;
  ComputeCost::Batch batch(const Step& step) const;
  double bytes_of_kv(const Program& program, const Step& step, schedule::BufferKind kind,
                     double positions) const;
  double kv_positions() const;

  Cost transfer(Rank rank, bool in, double bytes, double copies) const;
  Cost disk(Rank rank, bool read, double bytes, double requests) const;
  Cost compute(Rank rank, double seconds, double bytes) const;
  double between(const Program& program, const ComputeCost::Batch& rows) const;
  Cost message(const Program& program, const Step& step) const;

  Cost weights(const Program& program, const Step& step) const;
  Cost kv(const Program& program, const Step& step) const;
  Cost hidden(const Program& program, const Step& step) const;
  Cost computation(const Program& program, const Step& step) const;
  Cost on_cores(const Program& program, const Step& step) const;

  const Scenario& scenario_;
  const Machine& machine_;
  const NodeResources& resources_;
  const memory::Round& round_;
  std::vector<std::int64_t> token_steps_;
  std::vector<std::shared_ptr<const StageShape>> shapes_;  // [rank]
  ComputeCost compute_;
};

}  // namespace optpipe::simulator
