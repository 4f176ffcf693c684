#include "cli/bench/verify.hpp"

#include <algorithm>
#include <set>

#include "cli/job.hpp"
#include "optpipe/base/log.hpp"

namespace optpipe::cli {
namespace {

// The first and the last prompt and two from between: of different batches where there are several.
std::vector<std::int64_t> choose_prompts(std::int64_t prompts) {
  const std::set<std::int64_t> chosen{0, prompts / 3, 2 * prompts / 3, prompts - 1};
  return {chosen.begin(), chosen.end()};
}

// Everything in one place; what changes tokens, as formats and sparsity do, stays.
RunOptions one_stage(RunOptions run) {
  run.percent = {100, 0, 100, 0, 100, 0};
  run.stage_layers.clear();
  memory::Policy policy;
  policy.weight_format = run.policy.weight_format;
  policy.kv_format = run.policy.kv_format;
  policy.x_cache = run.policy.x_cache;
  policy.attention_sparsity = run.policy.attention_sparsity;
  memory::set_percent(policy, run.percent);
  run.policy = policy;
  return run;
}

// Passes prompts and tokens on under the workload's numbers.
class Renumbered final : public executor::TokenSink {
 public:
  Renumbered(TokenClock& sink, const std::vector<std::int64_t>& numbers) : sink_(sink), numbers_(numbers) {}
  std::span<const std::int32_t> prompt(std::int64_t sequence) const override {
    return sink_.prompt(numbers_[static_cast<std::size_t>(sequence)]);
  }
  bool accept(std::int64_t sequence, std::int32_t token) override {
    return sink_.accept(numbers_[static_cast<std::size_t>(sequence)], token);
  }

 private:
  TokenClock& sink_;
  const std::vector<std::int64_t>& numbers_;
};

}  // namespace

Verification verify(const BenchOptions& options, const Workload& workload, const PromptBook& prompts,
                    const TokenClock& measured) {
  Verification result{choose_prompts(workload.prompts)};
  log::info("verification: {} prompt(s) in one stage without offloading", result.prompts.size());
  comm::Alone alone;
  RunOptions run = one_stage(options.run);
  const auto count = static_cast<std::int64_t>(result.prompts.size());
  run.policy.gpu_batch_size = count;
  std::vector<memory::Sequence> sequences;
  for (std::int64_t i = 0; i < count; ++i) sequences.push_back({i, workload.prompt_len, workload.run_len});
  const auto rounds = memory::make_rounds(sequences, run.policy, alone.size());
  run.bind = "none";  // the process is bound already
  Job job = prepare_job(options.model, run, alone);
  bind_job(job, run, alone);
  const auto ready = set_up_stage(job, run, {run.policy, {}, {}}, rounds, alone);
  TokenClock again(prompts, workload.prompts, workload.prompt_len, workload.run_len);
  Renumbered sink(again, result.prompts);
  ready.stage->run(rounds.front(), &sink);
  for (const auto prompt : result.prompts) {
    const auto& one = measured.tokens_of(prompt);
    const auto& other = again.tokens_of(prompt);
    for (std::size_t i = 0; i < one.size(); ++i) result.differences += one[i] != other[i];
    result.tokens += static_cast<std::int64_t>(one.size());
  }
  return result;
}

}  // namespace optpipe::cli
