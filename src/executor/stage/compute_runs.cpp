#include "executor/stage/compute_runs.hpp"

namespace optpipe::executor {
namespace {

using schedule::kQueues;
using schedule::Program;
using schedule::Queue;
using schedule::Step;
using schedule::StepKind;

constexpr std::size_t kStepsOfALayer = 3;

bool is_decode_of_a_layer(const Step& step) {
  return step.token_step.value > 0 && (step.kind == StepKind::project_qkv || step.kind == StepKind::attend ||
                                       step.kind == StepKind::feed_forward);
}

bool waits_for_more(const Step& step, const Step& first) {
  for (std::size_t q = 0; q < kQueues; ++q)
    if (static_cast<Queue>(q) != Queue::compute && step.after[q] > first.after[q]) return true;
  return false;
}

bool continues(const Program& program, const ComputeRun& run, const Step& step) {
  const Step& first = program.step(run.first);
  return step.token_step == first.token_step && step.micro_batch == first.micro_batch &&
         !waits_for_more(step, first);
}

}  // namespace

std::vector<ComputeRun> find_compute_runs(const Program& program) {
  std::vector<ComputeRun> runs;
  ComputeRun run;
  const auto finish = [&] {
    if (run.steps.size() >= 2 * kStepsOfALayer) runs.push_back(std::move(run));
    run = {};
  };
  for (std::size_t i = 0; i < program.steps.size(); ++i) {
    const Step& step = program.steps[i];
    if (step.queue != Queue::compute) continue;
    if (!run.steps.empty() && (!is_decode_of_a_layer(step) || !continues(program, run, step))) finish();
    if (!is_decode_of_a_layer(step)) continue;
    const StepId id(static_cast<std::int64_t>(i));
    if (run.steps.empty()) run.first = id;
    run.steps.push_back(id);
  }
  finish();
  return runs;
}

}  // namespace optpipe::executor
