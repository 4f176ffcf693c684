#include "optpipe/simulator/predict.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <tuple>

#include "optpipe/base/check.hpp"
#include "optpipe/schedule/links.hpp"
#include "optpipe/schedule/text.hpp"
#include "optpipe/simulator/floors.hpp"
#include "simulator/cost_model.hpp"

namespace optpipe::simulator {
namespace {

using schedule::Program;
using schedule::StepKind;

// Which token steps of a round are simulated: all of a short one; of a longer one the first of decode, and
// pairs at the begin, in the middle and at the end, of which the second shows the time between two alike. The
// last one stands for itself: ranks that have nothing left to load leave more to the others.
std::vector<std::int64_t> choose_steps(std::int64_t token_steps, std::int64_t most) {
  std::vector<std::int64_t> steps;
  if (token_steps <= std::max<std::int64_t>(most, 8)) {
    for (std::int64_t t = 0; t < token_steps; ++t) steps.push_back(t);
    return steps;
  }
  const std::int64_t last = token_steps - 1, middle = (last + 2) / 2;
  return {0, 1, 2, middle - 1, middle, last - 1, last, last};
}

// When the first stage has each token step's last token, of the whole round.
std::vector<double> ends_of_steps(const Program& first, const Simulation& run, std::size_t steps) {
  std::vector<double> ends(steps, 0);
  for (const auto& time : run.times.front()) {
    const auto& step = first.step(time.step);
    if (step.kind != StepKind::accept) continue;
    auto& end = ends[static_cast<std::size_t>(step.token_step.value)];
    end = std::max(end, time.end_s);
  }
  return ends;
}

// Sum of a straight line's values at begin, begin + 1, ..., end - 1, from (a, at_a) to (b, at_b).
double sum_of_line(std::int64_t a, double at_a, std::int64_t b, double at_b, std::int64_t begin,
                   std::int64_t end) {
  double sum = 0;
  for (std::int64_t t = begin; t < end; ++t)
    sum += b == a ? at_a : at_a + (at_b - at_a) * static_cast<double>(t - a) / static_cast<double>(b - a);
  return sum;
}

struct RoundTimes {
  double prefill_s = 0, decode_s = 0, first_step_s = 0, last_step_s = 0;
};

RoundTimes times_of(const std::vector<std::int64_t>& steps, const std::vector<double>& ends,
                    std::int64_t token_steps) {
  RoundTimes times;
  times.prefill_s = ends[0];
  const auto step_s = [&](std::size_t i) { return ends[i] - ends[i - 1]; };
  if (static_cast<std::int64_t>(steps.size()) == token_steps) {
    times.decode_s = ends.back() - ends[0];
    if (token_steps > 1) times.first_step_s = step_s(token_steps > 2 ? 2 : 1);
    if (token_steps > 1) times.last_step_s = step_s(static_cast<std::size_t>(token_steps - 1));
    return times;
  }
  times.first_step_s = step_s(2);
  times.last_step_s = step_s(6);
  times.decode_s = step_s(1) + sum_of_line(steps[2], step_s(2), steps[4], step_s(4), steps[2], steps[4]) +
                   sum_of_line(steps[4], step_s(4), steps[6], step_s(6), steps[4], token_steps - 1) +
                   step_s(7);
  return times;
}

using Shapes = std::vector<std::shared_ptr<const StageShape>>;

// Ranks with slices of the same shape share one.
Shapes make_shapes(const Scenario& scenario, const std::vector<memory::Round>& rounds,
                   const memory::Round& round) {
  std::map<std::tuple<std::int64_t, bool, bool>, std::shared_ptr<const StageShape>> known;
  Shapes shapes;
  for (const auto& slice : scenario.slices) {
    auto& shape = known[{slice.layers, slice.embedding, slice.head}];
    if (!shape) {
      auto made = std::make_shared<StageShape>();
      made->plan = planner::plan_stage({scenario.config, slice, scenario.weights, rounds, scenario.policy,
                                        scenario.ranks(), scenario.backend, scenario.device_link});
      made->kv = planner::lay_out_kv(scenario.config, slice, round, scenario.policy, made->plan.needs.kv);
      shape = std::move(made);
    }
    shapes.push_back(shape);
  }
  return shapes;
}

std::vector<Program> build_programs(const Scenario& scenario, const Shapes& shapes,
                                    const memory::Round& round, std::int64_t token_steps) {
  std::vector<Program> programs;
  for (std::size_t r = 0; r < shapes.size(); ++r) {
    auto parameters = planner::schedule_parameters(shapes[r]->plan, scenario.slices[r], round, shapes[r]->kv,
                                                   Rank(static_cast<std::int64_t>(r)), scenario.ranks());
    parameters.token_steps = token_steps;
    programs.push_back(schedule::build_program(parameters));
  }
  return programs;
}

std::string describe(const std::vector<Program>& programs, const std::vector<Stuck>& stuck) {
  if (stuck.empty()) return {};
  const auto& program = programs[static_cast<std::size_t>(stuck.front().rank.value)];
  return fmt::format("rank {}: {} is never reached: the ranks wait for each other", stuck.front().rank.value,
                     schedule::to_text(program, stuck.front().step));
}

std::vector<ResourceUse> use_of(const std::vector<Resource>& resources, const Simulation& run) {
  std::map<std::string, double> busiest;
  for (std::size_t i = 0; i < resources.size(); ++i) {
    double& share = busiest[resources[i].name];
    share = std::max(share, run.used[i] / resources[i].capacity / run.end_s);
  }
  std::vector<ResourceUse> uses;
  for (const auto& [name, share] : busiest)
    if (share > 0) uses.push_back({name, share});
  std::ranges::sort(uses, std::greater{}, &ResourceUse::share);
  return uses;
}

// Adds the round to `prediction`, `times` times.
void add_round(Prediction& prediction, const Scenario& scenario, const Machine& machine,
               const std::vector<memory::Round>& rounds, const memory::Round& round, std::int64_t times,
               const PredictOptions& options) {
  const auto steps = choose_steps(round.token_steps(), options.most_steps);
  const auto shapes = make_shapes(scenario, rounds, round);
  const auto programs = build_programs(scenario, shapes, round, static_cast<std::int64_t>(steps.size()));
  const NodeResources resources(scenario, machine);
  const CostModel cost(scenario, machine, resources, round, steps, shapes);
  const auto run = simulate(programs, resources.all(), std::cref(cost), {scenario.policy.overlap});
  if (const auto deadlock = describe(programs, run.stuck); !deadlock.empty()) {
    prediction.deadlock = deadlock;
    return;
  }
  const auto of_round =
      times_of(steps, ends_of_steps(programs.front(), run, steps.size()), round.token_steps());
  prediction.prefill_s += of_round.prefill_s * static_cast<double>(times);
  prediction.decode_s += of_round.decode_s * static_cast<double>(times);
  prediction.rounds += times;
  if (!prediction.use.empty()) return;  // the first is the largest
  prediction.first_step_s = of_round.first_step_s;
  prediction.last_step_s = of_round.last_step_s;
  prediction.simulated_steps = static_cast<std::int64_t>(steps.size());
  prediction.resources = use_of(resources.all(), run);
  for (std::size_t r = 0; r < programs.size(); ++r)
    prediction.use.push_back(schedule::utilization(programs[r], run.times[r]));
}

}  // namespace

Prediction predict(const Scenario& scenario, const Machine& machine, const PredictOptions& options) {
  const auto rounds = memory::make_rounds(scenario.sequences, scenario.policy, scenario.ranks());
  OPTPIPE_CHECK(!rounds.empty() && scenario.is_gpu() == machine.device.is_gpu,
                "{} rounds on a machine whose device is {}", rounds.size(), machine.device.name);
  Prediction prediction;
  const auto whole = std::ranges::count_if(
      rounds, [&](const memory::Round& round) { return round.sequences() == rounds.front().sequences(); });
  add_round(prediction, scenario, machine, rounds, rounds.front(), whole, options);
  if (whole < static_cast<std::ptrdiff_t>(rounds.size()))
    add_round(prediction, scenario, machine, rounds, rounds.back(), 1, options);
  return prediction;
}

namespace {

bool grows_with_context(StepKind kind) {
  return kind == StepKind::attend || kind == StepKind::attend_host || kind == StepKind::load_kv ||
         kind == StepKind::read_kv;
}

void add_steps(PhaseFloor& floor, const Program& program, const CostModel& cost, std::int64_t token_step,
               double times) {
  for (const auto& step : program.steps) {
    if (step.token_step.value != token_step || schedule::is_recv(step.kind)) continue;
    const double work_s = times * cost(program, step).work_s;
    const auto queue = static_cast<std::size_t>(step.queue);
    floor.work_s[queue] += work_s;
    if (grows_with_context(step.kind)) floor.kv_s[queue] += work_s;
  }
}

}  // namespace

std::vector<RankFloor> floors(const Scenario& scenario, const Machine& machine) {
  const auto rounds = memory::make_rounds(scenario.sequences, scenario.policy, scenario.ranks());
  const auto& round = rounds.front();
  const std::int64_t decode_steps = round.token_steps() - 1;
  std::vector<std::int64_t> steps{0};
  if (decode_steps > 0) steps = {0, 1, decode_steps};
  const auto shapes = make_shapes(scenario, rounds, round);
  const auto programs = build_programs(scenario, shapes, round, static_cast<std::int64_t>(steps.size()));
  const NodeResources resources(scenario, machine);
  const CostModel cost(scenario, machine, resources, round, steps, shapes);
  std::vector<RankFloor> result;
  for (const Program& program : programs) {
    auto& floor = result.emplace_back();
    add_steps(floor.prefill, program, cost, 0, 1);
    for (std::size_t t = 1; t < steps.size(); ++t)
      add_steps(floor.decode, program, cost, static_cast<std::int64_t>(t),
                static_cast<double>(decode_steps) / 2);
  }
  return result;
}

std::vector<RankFloor> traffic(const Scenario& scenario) {
  // Where every rate is one byte a second, seconds are bytes.
  Machine unit;
  unit.device.is_gpu = scenario.is_gpu();
  unit.device.products = unit.device.prompt_products = {{1, 1}};
  unit.device.prompt_attention_flops_s = unit.device.attention_bytes_s = unit.device.memory_bytes_s = 1;
  unit.device.embedding_values_s = 1;
  unit.copies = {1, 1, 1, 1, 1, 1, 0};
  unit.host_memory = {0, 1, 1};
  unit.disk = {0, 1, 1};
  unit.device_link = unit.host_link = unit.network = {0, 1};
  auto bytes = floors(scenario, unit);
  for (auto& rank : bytes)
    for (auto* phase : {&rank.prefill, &rank.decode})
      for (const auto queue : {schedule::Queue::compute, schedule::Queue::host})
        phase->work_s[static_cast<std::size_t>(queue)] = phase->kv_s[static_cast<std::size_t>(queue)] = 0;
  return bytes;
}

}  // namespace optpipe::simulator
