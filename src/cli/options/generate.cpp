#include "cli/options/groups.hpp"
#include "optpipe/base/error.hpp"

namespace optpipe::cli {
namespace {

constexpr const char* kGroup = "Input and output";

void add_length_options(CLI::App& app, GenerateOptions& o) {
  app.add_option("--max-new-tokens", o.max_new_tokens, "Most tokens to generate for each prompt")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 24))
      ->capture_default_str()
      ->group(kSamplingGroup);
  app.add_option("--stop", o.stop, "End a prompt's text before this string (repeatable)")
      ->allow_extra_args(false)
      ->group(kSamplingGroup);
  app.add_flag("--ignore-eos", o.ignore_eos, "Go on after the end-of-text token")->group(kSamplingGroup);
}

}  // namespace

void add_generate_options(CLI::App& app, GenerateOptions& o) {
  o.run.policy.gpu_batch_size = 0;
  o.run.policy.refill = true;
  add_model_options(app, o.model);
  const auto prompt = app.add_option("--prompt", o.prompts, "One or more prompts as text, each in quotes")
                          ->allow_extra_args(false)
                          ->type_name("TEXT")
                          ->group(kGroup);
  app.add_option(
         "--input", o.input,
         R"(Prompts from a file of JSON lines, or - for standard input: {"id": ..., "prompt": "text"} )"
         R"(or {"id": ..., "tokens": [...]})")
      ->type_name("FILE")
      ->excludes(prompt)
      ->group(kGroup);
  app.add_option(
         "--output", o.output,
         R"(File for JSON lines {"id", "text", "tokens", "finish_reason"} (default: standard output, )"
         R"(where prompts of the command line give plain text))")
      ->type_name("FILE")
      ->group(kGroup);
  app.add_flag(
         "--strict", o.strict,
         R"(End at the first bad line of the input; without, its entry in the output is {"id", "error"} )"
         "and the run goes on")
      ->group(kGroup);
  app.add_flag("--resume", o.resume,
               "Go on where an interrupted run with this --output ended: its finished prompts are in "
               "OUTPUT.journal. The other options are those of that run")
      ->group(kGroup);
  app.add_option("--json", o.json, "Write a report of the run to this file")
      ->type_name("FILE")
      ->group(kGroup);
  app.add_option("--trace", o.trace,
                 "Write a timeline of all ranks to this file, for chrome://tracing or ui.perfetto.dev")
      ->type_name("FILE")
      ->group(kGroup);
  add_show_memory(app, o.run, kGroup);
  add_sampling_options(app, o.sampling);
  add_length_options(app, o);
  add_policy_options(app, o.run);
  add_budget_options(app, o.run.budgets);
  app.add_flag("--continuous-batching,!--no-continuous-batching", o.run.policy.refill,
               "Whether prompts that wait take the places of those that end (default), or all that are in "
               "flight end "
               "before the next begin")
      ->group(kPolicyGroup);
  add_run_options(app, o.run);
}

void check(GenerateOptions& o) {
  if (o.model.model.empty())
    throw UsageError("--model is missing: name a checkpoint folder; see optpipe generate --help");
  if (o.prompts.empty() && o.input.empty())
    throw UsageError(
        "nothing to generate from: give --prompt TEXT, or --input FILE.jsonl (- for standard input)");
  if (o.resume && o.output.empty())
    throw UsageError("--resume needs the --output FILE of the run that is to go on");
  check_policy(o.run);
  kernels::check(o.sampling);
}

}  // namespace optpipe::cli
