#include "cli/report.hpp"

#include "optpipe/metrics/result.hpp"

namespace optpipe::cli {
namespace {

metrics::Result summarize(const Generation& generation, const executor::RunStatistics& statistics) {
  metrics::Result result;
  result.prompts = generation.prompts_run();
  result.prompt_tokens = generation.prompt_tokens();
  result.new_tokens = generation.new_tokens();
  result.prefill_s = statistics.prefill_s;
  if (result.decoded_tokens() > 0) result.decode_s = statistics.total_s - statistics.prefill_s;
  return result;
}

}  // namespace

nlohmann::json describe_input(const RunOptions& run, const model::ModelConfig& config,
                              const memory::Policy& policy, int ranks) {
  return {{"model", config.name},
          {"layers", config.layers},
          {"hidden", config.hidden},
          {"dtype", name_of(config.dtype)},
          {"ranks", ranks},
          {"percent", run.percent},
          {"gpu_batch_size", policy.gpu_batch_size},
          {"num_gpu_batches", policy.gpu_batches},
          {"micro_batches", policy.micro_batches_for(ranks)},
          {"prefill_pieces", policy.prefill_cut().pieces},
          {"overlap", policy.overlap},
          {"weight_format", name_of(policy.weight_format)},
          {"keep_widened", policy.keep_widened},
          {"kv_format", policy.kv_format_name()},
          {"attention", name_of(policy.attention)},
          {"attention_share", policy.cpu_attention()},
          {"attention_sparsity", policy.attention_sparsity}};
}

nlohmann::json make_report(const GenerateOptions& options, const model::ModelConfig& config,
                           const memory::Policy& policy, const std::vector<metrics::RankUse>& ranks,
                           const Generation& generation, const executor::RunStatistics& statistics) {
  auto input = describe_input(options.run, config, policy, static_cast<int>(ranks.size()));
  input["max_new_tokens"] = options.max_new_tokens;
  input["bad_prompts"] = generation.errors();
  nlohmann::json result = metrics::to_json(summarize(generation, statistics));
  // Prompts that took the places of others were computed among decode steps: neither phase has a rate of its
  // own.
  if (policy.refill && generation.prompts_run() > policy.prompts_in_flight(static_cast<int>(ranks.size())))
    result["prefill_token_s"] = result["decode_token_s"] = nullptr;
  return {{"input", input}, {"result", result}, {"ranks", metrics::to_json(ranks)}};
}

nlohmann::json to_json(const std::vector<comm::LinkSpeed>& links) {
  auto list = nlohmann::json::array();
  for (const auto& link : links)
    list.push_back({{"from", link.from.value},
                    {"to", link.to.value},
                    {"hosts", {link.from_host, link.to_host}},
                    {"latency_s", link.latency_s},
                    {"bytes_s", link.bytes_per_s}});
  return list;
}

}  // namespace optpipe::cli
