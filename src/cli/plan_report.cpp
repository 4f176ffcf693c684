#include "cli/plan_report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "optpipe/metrics/result.hpp"
#include "optpipe/metrics/utilization.hpp"
#include "optpipe/planner/nearest.hpp"

namespace optpipe::cli {
namespace {

using planner::Ledger;
using planner::Place;

double gib(Bytes bytes) { return static_cast<double>(bytes) / static_cast<double>(kGiB); }

std::string name_ranks(std::size_t first, std::size_t last) {
  return first == last ? fmt::format("rank {}", first) : fmt::format("ranks {}-{}", first, last);
}

memory::Budget budget_of(const planner::RankResources& rank, Place place) {
  if (place == Place::gpu) return rank.gpu_memory;
  return place == Place::disk ? rank.disk.left : rank.host_memory;
}

std::string line_of(const std::string& ranks, const Ledger& ledger, const planner::RankResources& rank,
                    Place place) {
  std::string line = fmt::format("{:<14} {:<13}", ranks, name_of(place));
  for (const auto what : planner::kMemoryClasses)
    line += fmt::format(" {:>13.2f}", gib(ledger.at(place, what)));
  const auto budget = budget_of(rank, place);
  return line + fmt::format(" {:>9.2f}  {}", gib(ledger.total(place)),
                            budget.bytes > (Bytes{1} << 60) ? budget.source
                                                            : fmt::format("{:.2f}", gib(budget.bytes)));
}

metrics::Result result_of(const planner::RunRequest& request, const simulator::Prediction& prediction) {
  metrics::Result result;
  for (const auto& sequence : request.sequences) {
    ++result.prompts;
    result.prompt_tokens += sequence.prompt_tokens;
    result.new_tokens += sequence.new_tokens;
  }
  result.prefill_s = prediction.prefill_s;
  result.decode_s = prediction.decode_s;
  result.projected = true;
  return result;
}

// The rank whose busiest queue is busy for the largest share of the phase.
std::string phase_line(const char* name, double seconds, const simulator::Prediction& prediction,
                       schedule::PhaseUse schedule::Utilization::*phase) {
  std::size_t busiest = 0;
  double most = -1;
  for (std::size_t r = 0; r < prediction.use.size(); ++r) {
    const auto& use = prediction.use[r].*phase;
    const double share = use.span_s > 0 ? *std::ranges::max_element(use.busy_s) / use.span_s : 0;
    if (share > most) most = share, busiest = r;
  }
  const auto& use = prediction.use[busiest].*phase;
  std::string line = fmt::format("{:<8} {:>10.3f} s, bound by {}; rank {} is busy with", name, seconds,
                                 metrics::binding_resource(use), busiest);
  const char* separator = " ";
  for (std::size_t q = 0; q < schedule::kQueues; ++q) {
    if (use.busy_s[q] < 0.005 * use.span_s) continue;
    line += fmt::format("{}{} {:.0f} %", separator, name_of(static_cast<schedule::Queue>(q)),
                        100 * use.busy_s[q] / use.span_s);
    separator = ", ";
  }
  return line;
}

nlohmann::json to_json(const Ledger& ledger) {
  nlohmann::json json;
  for (const Place place : planner::kPlaces) {
    auto& classes = json[name_of(place)];
    for (const auto what : planner::kMemoryClasses) classes[name_of(what)] = ledger.at(place, what);
    classes["total"] = ledger.total(place);
  }
  return json;
}

nlohmann::json input_of(const planner::RunRequest& request, const memory::Policy& policy) {
  const auto shares = [](const memory::TierShares& s) { return nlohmann::json{s.device, s.host}; };
  return {{"model", request.config.name},
          {"ranks", request.ranks.size()},
          {"percent",
           {{"weights", shares(policy.weights)},
            {"kv", shares(policy.kv)},
            {"activations", shares(policy.hidden)}}},
          {"gpu_batch_size", policy.gpu_batch_size},
          {"num_gpu_batches", policy.gpu_batches},
          {"micro_batches", policy.micro_batches_for(static_cast<int>(request.ranks.size()))},
          {"prefill_pieces", policy.prefill_cut().pieces},
          {"weight_format", name_of(policy.weight_format)},
          {"keep_widened", policy.keep_widened},
          {"kv_format", policy.kv_format_name()}};
}

std::string formats(const memory::Policy& policy) {
  std::string text;
  if (is_quantized(policy.weight_format))
    text += fmt::format(" --weight-format {}", name_of(policy.weight_format));
  if (is_quantized(policy.kv_format) || policy.x_cache)
    text += fmt::format(" --kv-format {}", policy.kv_format_name());
  if (policy.attention != memory::AttentionPlace::gpu)
    text += fmt::format(" --attention {}", name_of(policy.attention));
  if (policy.micro_batches > 0) text += fmt::format(" --num-inner-iterations {}", policy.micro_batches);
  return text;
}

}  // namespace

std::vector<std::string> memory_table(const PlannedRun& run) {
  std::string heading = fmt::format("{:<14} {:<13}", "memory, GiB", "");
  for (const auto what : planner::kMemoryClasses) heading += fmt::format(" {:>13}", name_of(what));
  std::vector<std::string> lines{heading + fmt::format(" {:>9}  {}", "total", "there is")};
  for (std::size_t first = 0; first < run.ledgers.size();) {
    std::size_t last = first;
    while (last + 1 < run.ledgers.size() && run.ledgers[last + 1] == run.ledgers[first]) ++last;
    std::string ranks = name_ranks(first, last);
    for (const Place place : planner::kPlaces) {
      if (run.ledgers[first].total(place) == 0) continue;
      lines.push_back(line_of(ranks, run.ledgers[first], run.request.ranks[first], place));
      ranks.clear();
    }
    first = last + 1;
  }
  const int on_node = std::min<int>(run.site.ranks_per_node, static_cast<int>(run.ledgers.size()));
  if (on_node > 1) {
    Bytes host = 0;
    for (int r = 0; r < on_node; ++r) host += run.ledgers[static_cast<std::size_t>(r)].host();
    lines.push_back(fmt::format("a node's {} ranks together: {:.2f} GiB of {:.2f} GiB host memory", on_node,
                                gib(host), gib(run.request.ranks.front().host_memory.bytes)));
  }
  return lines;
}

std::vector<std::string> speed_table(const PlannedRun& run) {
  const auto& p = run.prediction;
  const auto result = result_of(run.request, p);
  const auto& sequence = run.request.sequences.front();
  std::vector<std::string> lines{
      fmt::format("predicted for {} prompts of {} + {} tokens in {} round(s), on {}", result.prompts,
                  sequence.prompt_tokens, sequence.new_tokens, p.rounds, run.site.machine.name)};
  lines.push_back(phase_line("prefill", p.prefill_s, p, &schedule::Utilization::prefill));
  if (sequence.new_tokens > 1) {
    lines.push_back(phase_line("decode", p.decode_s, p, &schedule::Utilization::decode));
    lines.push_back(fmt::format("a step of decode takes {:.4g} s at first, {:.4g} s in the end",
                                p.first_step_s, p.last_step_s));
  }
  std::string shared = "shared resources in use:";
  for (std::size_t i = 0; i < p.resources.size() && i < 4; ++i)
    shared +=
        fmt::format("{} {} {:.0f} %", i > 0 ? "," : "", p.resources[i].name, 100 * p.resources[i].share);
  if (!p.resources.empty()) lines.push_back(shared);
  lines.push_back(fmt::format("total    {:>10.3f} s: {:.4g} token/s", p.total_s(),
                              static_cast<double>(result.new_tokens) / p.total_s()));
  return lines;
}

nlohmann::json to_json(const PlannedRun& run) {
  auto memory = nlohmann::json::array();
  for (const Ledger& ledger : run.ledgers) memory.push_back(to_json(ledger));
  nlohmann::json json{{"input", input_of(run.request, run.policy)},
                      {"machine", run.site.machine.name},
                      {"memory", std::move(memory)},
                      {"fits", run.fits}};
  std::vector<metrics::RankUse> ranks;
  for (std::size_t r = 0; r < run.prediction.use.size(); ++r)
    ranks.push_back({run.request.ranks[r].host, run.prediction.use[r], 0, 0});
  json["result"] = metrics::to_json(result_of(run.request, run.prediction));
  json["result"]["first_step_s"] = run.prediction.first_step_s;
  json["result"]["last_step_s"] = run.prediction.last_step_s;
  json["simulated_steps"] = run.prediction.simulated_steps;
  json["ranks"] = metrics::to_json(ranks);
  json["resources"] = nlohmann::json::array();
  for (const auto& use : run.prediction.resources)
    json["resources"].push_back({{"name", use.name}, {"share", use.share}});
  return json;
}

std::vector<std::string> search_table(const simulator::SearchRequest& request,
                                      const simulator::SearchResult& result) {
  std::vector<std::string> lines{fmt::format(
      "{} policies rated, {} simulated for {} + {} tokens on {}; the best, as flags to paste:", result.rated,
      result.simulated, request.prompt_tokens, request.new_tokens, request.site.machine.name)};
  lines.push_back(fmt::format("{:>10} {:>10} {:>10} {:>6} {:>8}", "token/s", "prefill s", "decode s", "ranks",
                              "prompts"));
  for (const auto& found : result.best)
    lines.push_back(fmt::format("{:>10.4g} {:>10.4g} {:>10.4g} {:>6} {:>8}  {}{}", found.token_s,
                                found.prediction.prefill_s, found.prediction.decode_s, found.ranks,
                                found.prompts, planner::flags_of(found.policy), formats(found.policy)));
  return lines;
}

nlohmann::json to_json(const simulator::SearchRequest& request, const simulator::SearchResult& result) {
  auto best = nlohmann::json::array();
  for (const auto& found : result.best)
    best.push_back({{"token_s", found.token_s},
                    {"prefill_s", found.prediction.prefill_s},
                    {"decode_s", found.prediction.decode_s},
                    {"ranks", found.ranks},
                    {"prompts", found.prompts},
                    {"flags", planner::flags_of(found.policy) + formats(found.policy)}});
  return {{"machine", request.site.machine.name},
          {"rated", result.rated},
          {"simulated", result.simulated},
          {"best", std::move(best)}};
}

}  // namespace optpipe::cli
