#include "cli/bench/figures.hpp"

#include <numeric>

#include "optpipe/metrics/sizes.hpp"

namespace optpipe::cli {
namespace {

std::optional<metrics::Projection> project(const Workload& workload, std::optional<double> kv_share,
                                           std::vector<double> step_s, std::size_t stages) {
  return metrics::project_decode({.step_s = std::move(step_s),
                                  .prompt_tokens = workload.prompt_len,
                                  .new_tokens = workload.gen_len,
                                  .fill_steps = stages > 1 ? 1 : 0,
                                  .kv_share = kv_share});
}

}  // namespace

Outcome begin_outcome(const BenchOptions& options, const Job& job, const Workload& workload) {
  Outcome outcome;
  const auto positions = workload.prompt_len + workload.gen_len;
  outcome.sizes = {metrics::model_bytes(job.config),
                   metrics::cache_bytes(job.config, workload.prompts, positions),
                   metrics::hidden_bytes(job.config, workload.prompts, positions)};
  const auto sent = [&](std::int64_t tokens) {
    return micro_batch_bytes(options.run.policy, job.config, tokens, hidden_dtype(job));
  };
  outcome.micro_batch_prefill = sent(workload.prompt_len);
  outcome.micro_batch_decode = sent(1);
  return outcome;
}

void count(Outcome& outcome, const Workload& workload, const RoundFigures& round, std::size_t stages) {
  auto& result = outcome.result;
  result.prompts = workload.prompts;
  result.prompt_tokens = workload.prompts * workload.prompt_len;
  result.new_tokens = workload.prompts * workload.gen_len;
  result.prefill_s = round.statistics.prefill_s;
  result.projected = workload.is_cut();
  outcome.decode_step_s = round.decode_step_s;
  outcome.steps = round.steps;
  outcome.projection = project(workload, round.kv_share, round.decode_step_s, stages);
  if (outcome.projection) result.decode_s = outcome.projection->decode_s;
}

Validation validate_projection(const Outcome& outcome, const Workload& workload, const RoundFigures& whole,
                               std::size_t stages) {
  const auto& steps = whole.decode_step_s;
  Validation validation;
  validation.decode_s = std::accumulate(steps.begin(), steps.end(), 0.0);
  const auto error = [&](double projected_s) { return projected_s / validation.decode_s - 1; };
  if (outcome.projection && workload.is_cut()) validation.error = error(outcome.projection->decode_s);
  for (const auto& [cut, kv_share] : whole.kv_share_of_cuts) {
    const auto p = project(workload, kv_share, {steps.begin(), steps.begin() + (cut - 1)}, stages);
    validation.prefixes.push_back({cut, p->decode_s, error(p->decode_s)});
  }
  return validation;
}

metrics::PeakMemory peak_memory(const Outcome& outcome) {
  std::vector<std::string> gpus;
  for (const auto& binding : outcome.bindings) gpus.push_back(binding.gpu ? binding.pci_bus : "");
  return metrics::find_peak(outcome.memory, gpus);
}

}  // namespace optpipe::cli
