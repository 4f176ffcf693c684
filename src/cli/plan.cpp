#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "cli/commands.hpp"
#include "cli/model_source.hpp"
#include "cli/output_file.hpp"
#include "cli/plan_report.hpp"
#include "cli/rank_setup.hpp"
#include "optpipe/base/environment.hpp"
#include "optpipe/base/error.hpp"
#include "optpipe/planner/attention.hpp"
#include "optpipe/planner/prefill.hpp"
#include "optpipe/planner/refusal.hpp"
#include "optpipe/planner/widening.hpp"
#include "optpipe/probe/probe.hpp"

namespace optpipe::cli {
namespace {

// A plan needs no weights: a folder with config.json, or a size's name.
model::ModelConfig config_of(const ModelOptions& options) {
  std::error_code ignored;
  return std::filesystem::is_directory(options.model, ignored) ? model::load_config(options.model)
                                                               : model::config_of_size(options.model);
}

simulator::Machine probe_this_machine(const RunOptions& run) {
  comm::Alone alone;
  log::info("no --machine: this one is measured first, which takes some seconds");
  probe::Options options;
  options.gpu = choose_gpu(run, alone.node());
  options.binding = executor::bind_rank(alone, options.gpu, bind_mode(run));
  options.threads = thread_count(run, options.binding->placement());
  options.offload_directory = run.offload_directory.empty() ? temporary_directory() : run.offload_directory;
  return probe::measure(options, alone).machine;
}

simulator::Site make_site(const PlanOptions& options) {
  simulator::Site site;
  site.machine =
      options.machine.empty() ? probe_this_machine(options.run) : simulator::load_machine(options.machine);
  const bool wants_gpu = options.run.device == "cuda";
  if (options.run.device != "auto" && wants_gpu != site.machine.device.is_gpu)
    throw UsageError(fmt::format("--device {}: {} describes a {}; give another --machine", options.run.device,
                                 site.machine.name,
                                 site.machine.device.is_gpu ? "GPU machine" : "machine without GPU"));
  site.ranks_per_node = options.ranks_per_node > 0 ? options.ranks_per_node : site.machine.devices;
  site.threads = options.run.threads;
  site.device_links = options.run.comm_device != "cpu";
  site.gpu_memory = options.run.budgets.gpu;
  site.host_memory = options.run.budgets.host;
  site.disk_space = options.run.budgets.disk;
  return site;
}

void write_json(const PlanOptions& options, const nlohmann::json& json) {
  if (options.json.empty()) return;
  OutputFile file("--json", options.json);
  file.begin();
  file.write(json.dump(2) + "\n");
  file.finish();
}

void print(const std::vector<std::string>& lines) {
  std::string text;
  for (const auto& line : lines) text += line + "\n";
  OutputFile("", "").write(text);
}

void check_lengths(const PlanOptions& options, const model::ModelConfig& config) {
  const auto longest = options.prompt_tokens + options.new_tokens;
  if (longest > config.positions)
    throw UsageError(fmt::format("--prompt-len {} and --gen-len {} make {} tokens, but {} takes {} at most",
                                 options.prompt_tokens, options.new_tokens, longest, config.name,
                                 config.positions));
}

// 1, 2, 4, ... and the whole number of ranks.
std::vector<int> ranks_to_try(int most, const model::ModelConfig& config) {
  most = std::min(most, static_cast<int>(config.layers));
  std::vector<int> ranks;
  for (int each = 1; each < most; each *= 2) ranks.push_back(each);
  ranks.push_back(most);
  return ranks;
}

void find_best(const PlanOptions& options, const simulator::Site& site, const model::ModelConfig& config) {
  simulator::SearchRequest request{config,
                                   config.dtype,
                                   site,
                                   ranks_to_try(options.ranks, config),
                                   options.prompt_tokens,
                                   options.new_tokens,
                                   options.prompts};
  request.seconds = options.search_s;
  for (const auto& name : options.compression) {
    if (name == "x") {
      request.x_cache = true;
      continue;
    }
    const auto format = name == "4bit" ? StorageFormat::q4 : StorageFormat::q8;
    request.weight_formats.push_back(format);
    request.kv_formats.push_back(format);
  }
  const auto result = simulator::search(request);
  if (result.best.empty())
    throw CapacityError(
        fmt::format("no policy found with which {} fits on {} rank(s) of {}: use more ranks, a larger "
                    "--search-time, or larger budgets",
                    config.name, request.ranks.back(), site.machine.name));
  print(search_table(request, result));
  write_json(options, to_json(request, result));
}

memory::Policy settle(const PlannedRun& run) {
  const auto& request = run.request;
  const int ranks = static_cast<int>(request.slices.size());
  const auto rounds = memory::make_rounds(request.sequences, run.policy, ranks);
  const auto& rank = request.ranks.front();
  return planner::settle_prefill(
      planner::settle_attention(run.policy, request.config, request.slices, rounds, rank.weights,
                                rank.backend,
                                {simulator::attention_ceilings(run.site.machine, run.policy.kv_format)}),
      rounds, ranks, rank.weights, rank.backend);
}

void plan_policy(const PlanOptions& options, const simulator::Site& site, const model::ModelConfig& config) {
  PlannedRun run;
  run.site = site;
  run.policy = options.run.policy;
  run.policy.weight_format = planned_weight_format(options.model, config, run.policy.weight_format);
  const auto prompts = options.prompts > 0 ? options.prompts : run.policy.prompts_in_flight(options.ranks);
  run.request =
      simulator::make_request(site, config, cut_model(options.run, config, options.ranks), config.dtype,
                              simulator::equal_sequences(prompts, options.prompt_tokens, options.new_tokens));
  run.policy = planner::settle_widening(run.request, settle(run));
  run.ledgers = planner::plan_run(run.request, run.policy);
  const auto shortages = planner::find_shortages(run.request, run.ledgers);
  run.fits = shortages.empty();
  run.prediction = simulator::predict(simulator::make_scenario(site, run.request, run.policy), site.machine);
  auto lines = memory_table(run);
  if (auto widening = planner::describe_widening(run.request, run.policy); !widening.empty())
    lines.push_back(std::move(widening));
  lines.emplace_back();
  for (auto& line : speed_table(run)) lines.push_back(std::move(line));
  print(lines);
  write_json(options, to_json(run));
  if (!run.fits) throw CapacityError(planner::refusal(run.request, run.policy, shortages));
}

}  // namespace

void plan(const PlanOptions& options) {
  const auto config = config_of(options.model);
  check_lengths(options, config);
  const auto site = make_site(options);
  if (options.search)
    find_best(options, site, config);
  else
    plan_policy(options, site, config);
}

}  // namespace optpipe::cli
