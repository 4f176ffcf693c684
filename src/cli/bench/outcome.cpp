#include "cli/bench/outcome.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace optpipe::cli {
namespace {

using nlohmann::json;

json input_of(const BenchOptions& options, const model::ModelConfig& config, const Workload& workload,
              int ranks) {
  const auto& policy = options.run.policy;
  return {{"model", config.name},
          {"layers", config.layers},
          {"hidden", config.hidden},
          {"dtype", name_of(config.dtype)},
          {"ranks", ranks},
          {"percent", options.run.percent},
          {"gpu_batch_size", policy.gpu_batch_size},
          {"num_gpu_batches", policy.gpu_batches},
          {"micro_batches", policy.micro_batches_for(ranks)},
          {"overlap", policy.overlap},
          {"weight_format", name_of(policy.weight_format)},
          {"kv_format", name_of(policy.kv_format)},
          {"prompt_len", workload.prompt_len},
          {"gen_len", workload.gen_len},
          {"cut_gen_len", workload.is_cut() ? json(workload.run_len) : json(nullptr)}};
}

json ranks_of(const Outcome& outcome) {
  json ranks = metrics::to_json(outcome.use);
  for (std::size_t i = 0; i < ranks.size(); ++i) ranks[i].update(to_json(outcome.shares[i]));
  return ranks;
}

json validation_of(const Outcome& outcome) {
  if (!outcome.validation) return nullptr;
  return {{"decode_s", outcome.validation->decode_s}, {"error", outcome.validation->error}};
}

json verification_of(const Outcome& outcome) {
  if (!outcome.verification) return nullptr;
  return {{"prompts", outcome.verification->prompts},
          {"tokens", outcome.verification->tokens},
          {"differences", outcome.verification->differences}};
}

double gib(Bytes bytes) { return static_cast<double>(bytes) / static_cast<double>(kGiB); }
double mib(Bytes bytes) { return static_cast<double>(bytes) / static_cast<double>(kMiB); }

std::string projection_line(const metrics::Projection& p) {
  return fmt::format(
      "decode: {} token steps measured, {} projected: {:.3f} s ({:.3f} to {:.3f}), confidence {}: a step "
      "takes {:.6f} s + {:.9f} s a position of context\n",
      p.measured_steps, p.projected_steps, p.decode_s, p.low_s, p.high_s, name_of(p.confidence), p.base_s,
      p.per_position_s);
}

}  // namespace

json make_report(const BenchOptions& options, const model::ModelConfig& config, const Workload& workload,
                 const Outcome& outcome) {
  return {{"input", input_of(options, config, workload, static_cast<int>(outcome.shares.size()))},
          {"sizes",
           {{"model_bytes", outcome.sizes.model},
            {"cache_bytes", outcome.sizes.cache},
            {"hidden_bytes", outcome.sizes.hidden},
            {"peak_gpu_bytes", outcome.sizes.peak_gpu},
            {"micro_batch_prefill_bytes", outcome.micro_batch_prefill},
            {"micro_batch_decode_bytes", outcome.micro_batch_decode}}},
          {"result", metrics::to_json(outcome.result)},
          {"decode_step_s", outcome.decode_step_s},
          {"projection", outcome.projection ? metrics::to_json(*outcome.projection) : json(nullptr)},
          {"validation", validation_of(outcome)},
          {"verification", verification_of(outcome)},
          {"ranks", ranks_of(outcome)},
          {"memory", metrics::to_json(outcome.memory)}};
}

std::string details(const Outcome& outcome) {
  std::string text;
  for (const auto& line : memory_table(outcome.shares, outcome.use)) text += line + '\n';
  for (const auto& line : time_table(outcome.shares)) text += line + '\n';
  if (outcome.projection && outcome.result.projected) text += projection_line(*outcome.projection);
  if (outcome.validation)
    text +=
        fmt::format("projection checked: {:.3f} s of decode measured, the projection is off by {:+.2f} %\n",
                    outcome.validation->decode_s, outcome.validation->error * 100);
  if (outcome.verification)
    text += fmt::format(
        "verified: {} tokens of {} prompts in one stage without offloading, {} of them different\n",
        outcome.verification->tokens, outcome.verification->prompts.size(),
        outcome.verification->differences);
  return text;
}

std::string size_lines(const Outcome& outcome, int micro_batches, DType hidden) {
  return fmt::format(
      "model size: {:.3f} GB, cache size: {:.3f} GB, hidden size (prefill): {:.3f} GB\n"
      "micro-batch send/recv size: {:.3f} MB ({}), {:.3f} MB in a decode step; micro-batches: {}\n",
      gib(outcome.sizes.model), gib(outcome.sizes.cache), gib(outcome.sizes.hidden),
      mib(outcome.micro_batch_prefill), name_of(hidden), mib(outcome.micro_batch_decode), micro_batches);
}

}  // namespace optpipe::cli
