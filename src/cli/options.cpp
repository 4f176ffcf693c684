#include "cli/options.hpp"

#include <fmt/format.h>

#include "optpipe/base/environment.hpp"
#include "optpipe/base/error.hpp"
#include "optpipe/comm/mpi.hpp"
#include "optpipe/kernels/cpu.hpp"

namespace optpipe::cli {
namespace {

constexpr const char* kModelGroup = "Model";
constexpr const char* kPolicyGroup = "Policy: what lives where, and how prompts are grouped";
constexpr const char* kRunGroup = "Run";
constexpr const char* kSamplingGroup = "Choice of tokens";
constexpr const char* kInputGroup = "Input and output";

void add_model_options(CLI::App& app, ModelOptions& o) {
  app.add_option(
         "--model", o.model,
         "Checkpoint folder as the Hub ships it; or, with dummy weights, a size such as facebook/opt-125m")
      ->required()
      ->group(kModelGroup);
  app.add_option("--path", o.path,
                 "Folder with the weights, if not --model; DUMMY or _DUMMY_: random weights")
      ->group(kModelGroup);
  app.add_option("--dummy-seed", o.dummy_seed, "Seed of dummy weights")
      ->capture_default_str()
      ->group(kModelGroup);
}

void add_policy_options(CLI::App& app, RunOptions& o) {
  app.add_option("--percent", o.percent,
                 "Six numbers: percent of weights on GPU, on CPU, of KV cache on GPU, on CPU, of activations "
                 "on GPU, on CPU; the "
                 "rest of each is on disk. On the CPU backend, GPU means working memory")
      ->expected(6)
      ->capture_default_str()
      ->group(kPolicyGroup);
  app.add_option("--gpu-batch-size", o.policy.gpu_batch_size,
                 "Prompts computed at once (0: chosen from the number of prompts)")
      ->check(CLI::Range(std::int64_t{0}, std::int64_t{1} << 20))
      ->capture_default_str()
      ->group(kPolicyGroup);
  app.add_option("--num-gpu-batches", o.policy.gpu_batches,
                 "GPU batches in a micro-batch; a loaded weight serves all of them")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 16))
      ->capture_default_str()
      ->group(kPolicyGroup);
  app.add_option("--num-inner-iterations", o.policy.micro_batches,
                 "Micro-batches in flight (0: one per rank)")
      ->check(CLI::Range(std::int64_t{0}, std::int64_t{1} << 16))
      ->capture_default_str()
      ->group(kPolicyGroup);
  app.add_option("--overlap", o.policy.overlap, "Transfers run beside computation")
      ->expected(0, 1)
      ->default_str("true")
      ->group(kPolicyGroup);
  app.add_option("--stage-layers", o.stage_layers,
                 "Layers of each rank, such as 4,4,3 (default: balanced by cost)")
      ->delimiter(',')
      ->group(kPolicyGroup);
  app.add_option("--offload-dir", o.offload_directory,
                 "Folder for the disk tier (default: the temporary folder)")
      ->group(kPolicyGroup);
}

void add_run_options(CLI::App& app, RunOptions& o) {
  app.add_option("--device", o.device, "Where to compute")
      ->check(CLI::IsMember({"cpu", "cuda"}))
      ->capture_default_str()
      ->group(kRunGroup);
  app.add_option("--threads", o.threads,
                 "Threads a rank computes with (0: OMP_NUM_THREADS, or the node's cores over its ranks)")
      ->check(CLI::Range(0, 4096))
      ->capture_default_str()
      ->group(kRunGroup);
  app.add_option("--comm-timeout", o.comm_timeout_s, "Seconds after which a silent rank counts as lost")
      ->check(CLI::PositiveNumber)
      ->capture_default_str()
      ->group(kRunGroup);
}

void add_sampling_options(CLI::App& app, GenerateOptions& o) {
  app.add_flag("--do-sample", o.sampling.sample,
               "Draw tokens by their probability instead of taking the likeliest")
      ->group(kSamplingGroup);
  app.add_option("--temperature", o.sampling.temperature, "Divides the logits before the draw")
      ->capture_default_str()
      ->group(kSamplingGroup);
  app.add_option("--top-k", o.sampling.top_k, "Draw among the k likeliest only (0: all)")
      ->capture_default_str()
      ->group(kSamplingGroup);
  app.add_option("--top-p", o.sampling.top_p, "Draw among the likeliest that together reach this probability")
      ->capture_default_str()
      ->group(kSamplingGroup);
  app.add_option("--seed", o.sampling.seed,
                 "Seed of the draws; the same seed gives the same tokens, whatever the placement")
      ->capture_default_str()
      ->group(kSamplingGroup);
  app.add_option("--max-new-tokens", o.max_new_tokens, "Most tokens to generate for each prompt")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 24))
      ->capture_default_str()
      ->group(kSamplingGroup);
  app.add_option("--stop", o.stop, "End a prompt's text before this string (repeatable)")
      ->group(kSamplingGroup);
  app.add_flag("--ignore-eos", o.ignore_eos, "Go on after the end-of-text token")->group(kSamplingGroup);
}

void add_generate(CLI::App& app, GenerateOptions& o) {
  o.run.policy.gpu_batch_size = 0;
  add_model_options(app, o.model);
  const auto prompt =
      app.add_option("--prompt", o.prompts, "Prompt as text (repeatable)")->group(kInputGroup);
  app.add_option(
         "--input", o.input,
         R"(JSONL file, or - for standard input: {"id": ..., "prompt": "text"} or {"id": ..., "tokens": [...]} a line)")
      ->excludes(prompt)
      ->group(kInputGroup);
  app.add_option(
         "--output", o.output,
         R"(JSONL file for {"id", "text", "tokens", "finish_reason"} a line (default: standard output))")
      ->group(kInputGroup);
  app.add_option("--json", o.json, "Write a report of the run to this file")->group(kInputGroup);
  add_sampling_options(app, o);
  add_policy_options(app, o.run);
  add_run_options(app, o.run);
}

void check(GenerateOptions& o) {
  if (o.prompts.empty() && o.input.empty())
    throw UsageError(
        "nothing to generate from: give --prompt TEXT, or --input FILE.jsonl (- for standard input)");
  memory::set_percent(o.run.policy, o.run.percent);
  kernels::check(o.sampling);
  if (o.run.device == "cuda")
    throw UsageError("--device cuda: this build has no CUDA backend; use --device cpu");
}

std::string version_text() {
  return fmt::format("optpipe {}\nbackends: cpu ({})\ntransports: in-process, MPI ({})", OPTPIPE_VERSION,
                     kernels::vector_target(), comm::mpi_library());
}

}  // namespace

Parsed parse_command_line(int argc, const char* const* argv) {
  Parsed parsed;
  CLI::App app(
      "optpipe runs OPT language models larger than the GPUs at hand, as a pipeline over MPI ranks.");
  app.require_subcommand(1);
  bool quiet = false, verbose = false;
  app.add_flag("--quiet", quiet, "Log warnings and errors only");
  app.add_flag("--verbose", verbose, "Log more");
  app.set_version_flag("--version", version_text);
  app.fallthrough();
  GenerateOptions generate;
  auto* generate_command = app.add_subcommand("generate", "Generate text from prompts");
  add_generate(*generate_command, generate);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) {  // --help, --version
      std::ostringstream out, ignored;
      app.exit(error, out, ignored);
      parsed.printed = out.str();
      return parsed;
    }
    throw UsageError(
        fmt::format("{}; see optpipe {}--help", error.what(), generate_command->parsed() ? "generate " : ""));
  }
  parsed.options.verbosity = quiet ? Verbosity::quiet : verbose ? Verbosity::debug : Verbosity::normal;
  check(generate);
  parsed.options.generate = std::move(generate);
  return parsed;
}

}  // namespace optpipe::cli
