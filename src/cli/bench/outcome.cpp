#include "cli/bench/outcome.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cli/report.hpp"

namespace optpipe::cli {
namespace {

using nlohmann::json;

json input_of(const BenchOptions& options, const model::ModelConfig& config, const Workload& workload,
              int ranks) {
  json input = describe_input(options.run, config, options.run.policy, ranks);
  input["prompt_len"] = workload.prompt_len;
  input["gen_len"] = workload.gen_len;
  input["cut_gen_len"] = workload.is_cut() ? json(workload.run_len) : json(nullptr);
  return input;
}

json ranks_of(const Outcome& outcome) {
  json ranks = metrics::to_json(outcome.use);
  for (std::size_t i = 0; i < ranks.size(); ++i) {
    ranks[i].update(to_json(outcome.shares[i]));
    ranks[i]["resources"] = to_json(outcome.resources, outcome.use[i], i);
  }
  return ranks;
}

json binding_of(const Outcome& outcome) {
  if (!outcome.resources.binding) return nullptr;
  const auto& b = *outcome.resources.binding;
  return {{"rank", b.rank},     {"queue", name_of(b.queue)}, {"share", b.share},      {"waits", b.waits},
          {"remedy", b.remedy}, {"speedup", b.speedup},      {"sentence", b.sentence}};
}

json validation_of(const Outcome& outcome) {
  if (!outcome.validation) return nullptr;
  auto prefixes = json::array();
  for (const auto& each : outcome.validation->prefixes)
    prefixes.push_back(
        {{"cut_gen_len", each.cut_gen_len}, {"decode_s", each.decode_s}, {"error", each.error}});
  return {{"decode_s", outcome.validation->decode_s},
          {"error", outcome.validation->error ? json(*outcome.validation->error) : json(nullptr)},
          {"prefixes", prefixes}};
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

std::string validation_lines(const Validation& validation) {
  std::string text = fmt::format("projection checked: {:.3f} s of decode measured", validation.decode_s);
  if (validation.error) text += fmt::format(", the projection is off by {:+.2f} %", *validation.error * 100);
  text += '\n';
  for (const auto& each : validation.prefixes)
    text += fmt::format("  cut at {}: {:.3f} s, off by {:+.2f} %\n", each.cut_gen_len, each.decode_s,
                        each.error * 100);
  return text;
}

}  // namespace

json make_report(const BenchOptions& options, const model::ModelConfig& config, const Workload& workload,
                 const Outcome& outcome) {
  return {{"input", input_of(options, config, workload, static_cast<int>(outcome.shares.size()))},
          {"sizes",
           {{"model_bytes", outcome.sizes.model},
            {"cache_bytes", outcome.sizes.cache},
            {"hidden_bytes", outcome.sizes.hidden},
            {"peak_gpu_bytes", outcome.sizes.peak.gpu},
            {"planned_gpu_bytes", outcome.sizes.peak.planned_gpu},
            {"peak_host_bytes", outcome.sizes.peak.host},
            {"planned_host_bytes", outcome.sizes.peak.planned_host},
            {"micro_batch_prefill_bytes", outcome.micro_batch_prefill},
            {"micro_batch_decode_bytes", outcome.micro_batch_decode}}},
          {"result", metrics::to_json(outcome.result)},
          {"decode_step_s", outcome.decode_step_s},
          {"projection", outcome.projection ? metrics::to_json(*outcome.projection) : json(nullptr)},
          {"validation", validation_of(outcome)},
          {"verification", verification_of(outcome)},
          {"machine", outcome.resources.machine.empty() ? json(nullptr) : json(outcome.resources.machine)},
          {"bottleneck", binding_of(outcome)},
          {"breakdown", to_json(outcome.steps)},
          {"ranks", ranks_of(outcome)},
          {"memory", metrics::to_json(outcome.memory)},
          {"links", to_json(outcome.links)}};
}

std::string details(const Outcome& outcome, std::string_view kv_format, bool breakdown) {
  Bytes kv = 0;
  for (const RankShare& share : outcome.shares)
    for (const auto place : planner::kPlaces) kv += share.memory.at(place, planner::MemoryClass::kv);
  std::string text = fmt::format("kv format {}: {:.3f} GB on all tiers\n", kv_format, gib(kv));
  for (const auto& line : memory_table(outcome.shares, outcome.use)) text += line + '\n';
  for (const auto& line : time_table(outcome.shares)) text += line + '\n';
  for (const auto& line : resource_table(outcome.resources, outcome.use)) text += line + '\n';
  if (breakdown)
    for (const auto& line : to_table(outcome.steps)) text += line + '\n';
  if (outcome.resources.binding) text += outcome.resources.binding->sentence + '\n';
  if (outcome.projection && outcome.result.projected) text += projection_line(*outcome.projection);
  if (outcome.validation) text += validation_lines(*outcome.validation);
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
