// The third interpreter of programs: costs instead of work. It runs all ranks' programs at once, in the order
// of their queues and waits, and says when each step would have run, or which steps wait for each other for
// ever.
//
// Steps that run at the same time share what they need at the same time: every step states its seconds if
// alone, and how much of which resource it takes while at that speed. Where a resource would be overdrawn,
// the steps that use it are slowed down evenly (max-min fair in speed: all speeds rise together until a
// resource is full, its users stop there, the others go on).
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "optpipe/schedule/program.hpp"
#include "optpipe/schedule/timeline.hpp"

namespace optpipe::simulator {

// Something with a limit a second, that steps share: bytes over a bus, cores.
struct Resource {
  std::string name;
  double capacity = 0;  // units a second
  int domain = 0;       // resources of different domains (nodes) are never used by the same step
};

struct Demand {
  std::int32_t resource = -1;
  double units_s = 0;  // units a second that the step takes at its full speed
};

// What one step costs.
struct Cost {
  static constexpr std::size_t kMostDemands = 8;

  double latency_s = 0;  // before the work begins, whatever else runs
  double work_s = 0;     // if alone
  bool eager = false;    // a send that is over without its receive: small messages
  std::uint8_t demand_count = 0;
  std::array<Demand, kMostDemands> demand_list{};

  void add(std::int32_t resource, double units_s);
  std::span<const Demand> demands() const { return {demand_list.data(), demand_count}; }
};

// Costs of a send count for the message; those of a receive are not asked for.
using CostFunction = std::function<Cost(const schedule::Program&, const schedule::Step&)>;

struct Stuck {
  Rank rank;
  StepId step;
};

struct Simulation {
  std::vector<std::vector<schedule::StepTime>> times;  // [rank], in the order in which steps ended
  std::vector<double> used;                            // [resource]: units, over the whole run
  double end_s = 0;
  std::vector<Stuck>
      stuck;  // the first step of each queue that is never reached; empty: all came to their end
};

struct SimulationOptions {
  bool overlap = true;  // false: all queues but `send` are one, as in the executors
};

// `programs`: of all ranks, in order.
Simulation simulate(std::span<const schedule::Program> programs, std::span<const Resource> resources,
                    const CostFunction& cost, const SimulationOptions& options = {});

}  // namespace optpipe::simulator
