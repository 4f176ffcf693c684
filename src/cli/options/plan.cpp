#include <fmt/format.h>

#include "cli/options/groups.hpp"
#include "optpipe/base/error.hpp"

namespace optpipe::cli {
namespace {

constexpr const char* kSiteGroup = "Where it would run";
constexpr const char* kWorkGroup = "Work and output";
constexpr const char* kSearchGroup = "Search";

void add_site_options(CLI::App& app, PlanOptions& o) {
  app.add_option(
         "--machine", o.machine,
         "Description of a node: a file that optpipe probe --json wrote, or a known one (h100, h200x4); "
         "without it a small probe of this machine's cores is run")
      ->type_name("FILE")
      ->group(kSiteGroup);
  app.add_option("--ranks", o.ranks, "Ranks, each with a device of its own; with --search, at most so many")
      ->check(CLI::Range(1, 1 << 14))
      ->capture_default_str()
      ->group(kSiteGroup);
  app.add_option("--ranks-per-node", o.ranks_per_node, "Ranks on each node (0: as many as it has devices)")
      ->check(CLI::Range(0, 1 << 10))
      ->capture_default_str()
      ->group(kSiteGroup);
}

void add_work_options(CLI::App& app, PlanOptions& o) {
  const auto length = CLI::Range(std::int64_t{1}, std::int64_t{1} << 24);
  app.add_option("--prompt-len", o.prompt_tokens, "Tokens of a prompt")
      ->check(length)
      ->capture_default_str()
      ->group(kWorkGroup);
  app.add_option("--gen-len", o.new_tokens, "New tokens for each prompt")
      ->check(length)
      ->capture_default_str()
      ->group(kWorkGroup);
  app.add_option("--num-prompts", o.prompts, "Prompts in all (0: as many as the policy has in flight)")
      ->check(CLI::Range(std::int64_t{0}, std::int64_t{1} << 24))
      ->capture_default_str()
      ->group(kWorkGroup);
  app.add_option("--json", o.json, "Write the plan to this file")->type_name("FILE")->group(kWorkGroup);
}

void add_search_options(CLI::App& app, PlanOptions& o) {
  app.add_flag(
         "--search", o.search,
         "Find the policy with the most tokens a second that fits: percentages, batch sizes, number of ranks")
      ->group(kSearchGroup);
  app.add_option(
         "--allow-compression", o.compression,
         "Formats of weights and KV that the search may use besides the model's own: 4bit, 8bit; x, of KV")
      ->delimiter(',')
      ->check(CLI::IsMember({"4bit", "8bit", "x"}))
      ->type_name("NAME,...")
      ->group(kSearchGroup);
  app.add_option("--search-time", o.search_s, "The search ends after so long at the latest")
      ->check(CLI::Range(0.01, 1e6))
      ->type_name("SECONDS")
      ->capture_default_str()
      ->group(kSearchGroup);
}

}  // namespace

void add_plan_options(CLI::App& app, PlanOptions& o) {
  add_model_options(app, o.model);
  add_policy_options(app, o.run);
  add_site_options(app, o);
  add_budget_options(app, o.run.budgets);
  add_work_options(app, o);
  add_search_options(app, o);
  add_run_options(app, o.run);
}

void check(PlanOptions& o) {
  if (o.model.model.empty())
    throw UsageError(
        "--model is missing: name a checkpoint folder, or a size such as opt-30b; see optpipe plan --help");
  if (!o.search && !o.compression.empty())
    throw UsageError("--allow-compression is for --search: without it the policy's own formats count");
  if (o.run.policy.gpu_batch_size == 0)
    throw UsageError("--gpu-batch-size 0: a plan needs the batch size; give one, or let --search find it");
  check_policy(o.run);
}

}  // namespace optpipe::cli
