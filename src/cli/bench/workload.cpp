#include "cli/bench/workload.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "optpipe/base/error.hpp"

namespace optpipe::cli {
namespace {

constexpr std::int64_t kWarmUpPrompt = 32, kWarmUpTokens = 3;

memory::Round make_round(std::int64_t prompts, std::int64_t prompt_len, std::int64_t gen_len,
                         const memory::Policy& policy, int ranks) {
  std::vector<memory::Sequence> sequences;
  for (std::int64_t i = 0; i < prompts; ++i) sequences.push_back({i, prompt_len, gen_len});
  return memory::make_rounds(sequences, policy, ranks).front();
}

}  // namespace

Workload plan_workload(const BenchOptions& options, const model::ModelConfig& config, int ranks) {
  // The last new token takes no position: it is not fed back.
  if (options.prompt_len + options.gen_len - 1 > config.positions)
    throw UsageError(
        fmt::format("--prompt-len {} and --gen-len {} need {} positions, but {} has {}: ask for fewer tokens",
                    options.prompt_len, options.gen_len, options.prompt_len + options.gen_len - 1,
                    config.name, config.positions));
  const auto& policy = options.run.policy;
  Workload workload;
  workload.prompts = policy.prompts_in_flight(ranks);
  workload.prompt_len = options.prompt_len;
  workload.gen_len = options.gen_len;
  workload.run_len = options.cut_gen_len > 0 ? options.cut_gen_len : options.gen_len;
  workload.round = make_round(workload.prompts, workload.prompt_len, workload.gen_len, policy, ranks);
  workload.warm_up = make_round(workload.prompts, std::min(workload.prompt_len, kWarmUpPrompt),
                                std::min(workload.gen_len, kWarmUpTokens), policy, ranks);
  return workload;
}

Bytes micro_batch_bytes(const memory::Policy& policy, const model::ModelConfig& config, std::int64_t tokens,
                        DType hidden) {
  return static_cast<Bytes>(policy.gpu_batch_size * policy.gpu_batches * tokens * config.hidden) *
         size_of(hidden);
}

}  // namespace optpipe::cli
