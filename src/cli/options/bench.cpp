#include <fmt/format.h>

#include <algorithm>

#include "cli/options/groups.hpp"
#include "optpipe/base/error.hpp"

namespace optpipe::cli {
namespace {

constexpr const char* kWorkloadGroup = "Workload";
constexpr const char* kOutputGroup = "Output";
constexpr const char* kCheckGroup = "Checks";
constexpr const char* kIdleGroup = "Flags of FlexGen's that have nothing to do here";

constexpr std::int64_t kMostTokens = std::int64_t{1} << 24;
constexpr std::int64_t kFewerBatches = 4;  // token steps that --debug-mode fewer_batch runs

void add_workload_options(CLI::App& app, BenchOptions& o) {
  const auto tokens = CLI::Range(std::int64_t{1}, kMostTokens);
  app.add_option("--prompt-len", o.prompt_len, "Tokens of each prompt")
      ->check(tokens)
      ->capture_default_str()
      ->group(kWorkloadGroup);
  app.add_option("--gen-len", o.gen_len, "New tokens of each prompt")
      ->check(tokens)
      ->capture_default_str()
      ->group(kWorkloadGroup);
  app.add_option("--cut-gen-len", o.cut_gen_len,
                 "Run so many of the new tokens and project the time of the rest")
      ->check(tokens)
      ->group(kWorkloadGroup);
  app.add_option(
         "--debug-mode", o.debug_mode,
         fmt::format("fewer_batch: --cut-gen-len {}, unless given; breakdown: also the seconds of each kind "
                     "of step",
                     kFewerBatches))
      ->check(CLI::IsMember({"fewer_batch", "breakdown"}))
      ->type_name("NAME")
      ->group(kWorkloadGroup);
}

void add_output_options(CLI::App& app, BenchOptions& o) {
  app.add_option("--log-file", o.log_file,
                 "File to which the result lines are appended; auto: a name made from the flags")
      ->type_name("FILE")
      ->capture_default_str()
      ->group(kOutputGroup);
  app.add_flag("--no-log", o.no_log, "Write no log file")->group(kOutputGroup);
  app.add_option("--verbose", o.verbose,
                 "0: nothing on standard output; 1: the result lines; 2: texts, tables and sizes too")
      ->expected(0, 1)
      ->capture_default_str()
      ->group(kOutputGroup);
  app.add_option("--json", o.json, "Write a report of the run to this file (docs/report-schema.json)")
      ->type_name("FILE")
      ->group(kOutputGroup);
  app.add_option("--machine", o.machine,
                 "Print floors beside measured seconds, from this description of a node: a file that optpipe "
                 "probe --json wrote, or a known one (h100, h200x4)")
      ->type_name("FILE")
      ->group(kOutputGroup);
  app.add_option("--trace", o.trace,
                 "Write a timeline of all ranks to this file, for chrome://tracing or ui.perfetto.dev")
      ->type_name("FILE")
      ->group(kOutputGroup);
}

void add_check_options(CLI::App& app, BenchOptions& o) {
  app.add_flag(
         "--validate-projection", o.validate_projection,
         "Run the whole length too, and print how far the projection was off; without --cut-gen-len: how "
         "far projections from the run's own first 2, 4, 8, ... token steps are off")
      ->group(kCheckGroup);
  app.add_flag("--verify", o.verify,
               "Run a few of the prompts again in one stage without offloading, and compare tokens")
      ->group(kCheckGroup);
}

// Flags that are accepted, and remembered if given.
void add_idle_options(CLI::App& app, BenchOptions& o) {
  const auto add_switch = [&](const char* name, const char* why) {
    app.add_flag_callback(
           name, [&o, name] { o.idle_flags.emplace_back(name); }, why)
        ->group(kIdleGroup);
  };
  const auto add_value = [&](const char* name, const char* type, const char* why) {
    app.add_option_function<std::string>(
           name, [&o, name](const std::string&) { o.idle_flags.emplace_back(name); }, why)
        ->expected(0, 1)
        ->type_name(type)
        ->group(kIdleGroup);
  };
  constexpr const char* kMpi = "MPI connects the ranks";
  add_value("--head-ip", "IP", kMpi);
  for (const char* name : {"--port", "--rank", "--local-rank"}) add_value(name, "N", kMpi);
  add_switch("--use-mpi", kMpi);
  app.add_option("--world-size", o.world_size, "Must be the number of ranks that MPI started")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 20))
      ->type_name("N")
      ->group(kIdleGroup);
  add_switch("--async-comm", "Hidden states always travel beside computation");
  add_value("--sep-layer", "BOOL", "Weights are moved in parts of a layer, whatever this says");
  add_value("--pin-weight", "BOOL", "Memory that a GPU copies from is always pinned, at its exact size");
}

}  // namespace

void add_bench_options(CLI::App& app, BenchOptions& o) {
  o.run.policy.gpu_batch_size = 4;
  add_model_options(app, o.model);
  add_workload_options(app, o);
  add_policy_options(app, o.run);
  add_budget_options(app, o.run.budgets);
  add_show_memory(app, o.run, kCheckGroup);
  add_run_options(app, o.run);
  add_output_options(app, o);
  add_check_options(app, o);
  add_idle_options(app, o);
}

void check(BenchOptions& o) {
  if (o.run.policy.gpu_batch_size == 0)
    throw UsageError("--gpu-batch-size 0: a benchmark needs its size; give at least 1");
  if (o.cut_gen_len == 0 && o.debug_mode == "fewer_batch") o.cut_gen_len = std::min(kFewerBatches, o.gen_len);
  if (o.cut_gen_len > o.gen_len)
    throw UsageError(
        fmt::format("--cut-gen-len {} is more than --gen-len {}: cut to fewer", o.cut_gen_len, o.gen_len));
  if (!o.json.empty() && o.json == o.trace)
    throw UsageError(fmt::format("--json and --trace both name {}: give each its own", o.json));
  check_policy(o.run);
}

}  // namespace optpipe::cli
