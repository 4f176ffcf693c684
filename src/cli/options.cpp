#include "cli/options.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <span>

#include "cli/help_format.hpp"
#include "optpipe/base/error.hpp"
#include "optpipe/comm/device_link.hpp"
#include "optpipe/comm/mpi.hpp"
#include "optpipe/executor/stage.hpp"
#include "optpipe/kernels/cpu.hpp"

namespace optpipe::cli {
namespace {

constexpr const char* kModelGroup = "Model";
constexpr const char* kPolicyGroup = "Policy: what lives where, and how prompts are grouped";
constexpr const char* kRunGroup = "Run";
constexpr const char* kSamplingGroup = "Choice of tokens";
constexpr const char* kInputGroup = "Input and output";

// Whole numbers of 64 bits only: conversion would take -1 and overflow silently.
std::string check_seed(const std::string& text) {
  std::uint64_t seed = 0;
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), seed);
  const bool whole = status == std::errc{} && end == text.data() + text.size();
  return whole ? "" : fmt::format("{} is no whole number from 0 to 2^64 - 1", text);
}

// Every text of "--prompt A B" gets its own flag: an option of CLI11 that takes several words at once would
// cut the prompt "[A, B]" in two.
std::vector<std::string> repeat_prompt_flag(int argc, const char* const* argv) {
  std::vector<std::string> words;
  bool expects_text = false, takes_text = false;
  for (const std::string_view word : std::span(argv, static_cast<std::size_t>(argc)).subspan(1)) {
    const bool is_flag = word.starts_with("--");
    if (expects_text && is_flag)
      throw UsageError(fmt::format(
          "--prompt has no text before {}; see optpipe generate --help (or write --prompt={}, if that is it)",
          word, word));
    if (takes_text && !expects_text && !word.starts_with('-')) words.emplace_back("--prompt");
    words.emplace_back(word);
    expects_text = word == "--prompt" && !expects_text;
    takes_text = expects_text || word.starts_with("--prompt=") || (takes_text && !is_flag);
  }
  return words;
}

void add_model_options(CLI::App& app, ModelOptions& o) {
  app.add_option(
         "--model", o.model,
         "Checkpoint folder as the Hub ships it; or, with dummy weights, a size such as facebook/opt-125m")
      ->type_name("DIR")
      ->group(kModelGroup);
  app.add_option("--path", o.path,
                 "Folder with the weights, if not --model; DUMMY or _DUMMY_: random weights")
      ->type_name("DIR")
      ->group(kModelGroup);
  app.add_option("--dummy-seed", o.dummy_seed, "Seed of dummy weights")
      ->check(check_seed, "")
      ->capture_default_str()
      ->group(kModelGroup);
}

void add_policy_options(CLI::App& app, RunOptions& o) {
  app.add_option("--percent", o.percent,
                 "Six numbers: percent of weights on GPU, on CPU, of KV cache on GPU, on CPU, of activations "
                 "on GPU, on CPU; the rest of each is on disk. On the CPU backend, GPU means working memory")
      ->expected(6)
      ->type_name("N N N N N N")
      ->default_str("100 0 100 0 100 0")
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
  app.add_option("--overlap", o.policy.overlap, "Whether transfers run beside computation")
      ->expected(0, 1)
      ->type_name("BOOL")
      ->default_str("true")
      ->group(kPolicyGroup);
  app.add_option("--stage-layers", o.stage_layers,
                 "Layers of each rank, such as 4,4,3 (default: balanced by cost)")
      ->delimiter(',')
      ->type_name("N,N,...")
      ->group(kPolicyGroup);
  app.add_option("--offload-dir", o.offload_directory, "Folder for the disk tier (default: $TMPDIR, or /tmp)")
      ->type_name("DIR")
      ->group(kPolicyGroup);
  app.add_flag("--verify-offload", o.verify_offload,
               "Check what is read from the disk tier against checksums")
      ->group(kPolicyGroup);
}

void add_run_options(CLI::App& app, RunOptions& o) {
  app.add_option("--device", o.device,
                 "Where to compute: auto, cpu or cuda (auto: cuda where there is a GPU)")
      ->check(CLI::IsMember({"auto", "cpu", "cuda"}))
      ->type_name("NAME")
      ->capture_default_str()
      ->group(kRunGroup);
  app.add_option("--gpu-map", o.gpu_map,
                 "GPU of each rank of a node, such as 0,2,1,3 (default: in order, around again)")
      ->delimiter(',')
      ->group(kRunGroup);
  app.add_option(
         "--comm-device", o.comm_device,
         "How hidden states travel between stages: gpu (NCCL), cpu (MPI, through host memory), or auto "
         "(gpu where every rank has a GPU of its own)")
      ->check(CLI::IsMember({"auto", "gpu", "cpu"}))
      ->type_name("NAME")
      ->capture_default_str()
      ->group(kRunGroup);
  app.add_option("--threads", o.threads,
                 "Threads a rank computes with (0: OMP_NUM_THREADS, or the node's cores over its ranks)")
      ->check(CLI::Range(0, 4096))
      ->capture_default_str()
      ->group(kRunGroup);
  app.add_option("--comm-timeout", o.comm_timeout_s, "A rank that is silent for so long counts as lost")
      ->check(CLI::Range(1e-3, 1e9))
      ->type_name("SECONDS")
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
      ->check(check_seed, "")
      ->capture_default_str()
      ->group(kSamplingGroup);
  app.add_option("--max-new-tokens", o.max_new_tokens, "Most tokens to generate for each prompt")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 24))
      ->capture_default_str()
      ->group(kSamplingGroup);
  app.add_option("--stop", o.stop, "End a prompt's text before this string (repeatable)")
      ->allow_extra_args(false)
      ->group(kSamplingGroup);
  app.add_flag("--ignore-eos", o.ignore_eos, "Go on after the end-of-text token")->group(kSamplingGroup);
}

void add_generate(CLI::App& app, GenerateOptions& o) {
  o.run.policy.gpu_batch_size = 0;
  add_model_options(app, o.model);
  const auto prompt = app.add_option("--prompt", o.prompts, "One or more prompts as text, each in quotes")
                          ->allow_extra_args(false)
                          ->type_name("TEXT")
                          ->group(kInputGroup);
  app.add_option(
         "--input", o.input,
         R"(Prompts from a file of JSON lines, or - for standard input: {"id": ..., "prompt": "text"} )"
         R"(or {"id": ..., "tokens": [...]})")
      ->type_name("FILE")
      ->excludes(prompt)
      ->group(kInputGroup);
  app.add_option(
         "--output", o.output,
         R"(File for JSON lines {"id", "text", "tokens", "finish_reason"} (default: standard output, )"
         R"(where prompts of the command line give plain text))")
      ->type_name("FILE")
      ->group(kInputGroup);
  app.add_option("--json", o.json, "Write a report of the run to this file")
      ->type_name("FILE")
      ->group(kInputGroup);
  app.add_option("--trace", o.trace,
                 "Write a timeline of all ranks to this file, for chrome://tracing or ui.perfetto.dev")
      ->type_name("FILE")
      ->group(kInputGroup);
  add_sampling_options(app, o);
  add_policy_options(app, o.run);
  add_run_options(app, o.run);
}

void check(GenerateOptions& o) {
  if (o.model.model.empty())
    throw UsageError("--model is missing: name a checkpoint folder; see optpipe generate --help");
  if (o.prompts.empty() && o.input.empty())
    throw UsageError(
        "nothing to generate from: give --prompt TEXT, or --input FILE.jsonl (- for standard input)");
  memory::set_percent(o.run.policy, o.run.percent);
  kernels::check(o.sampling);
}

std::string version_text() {
  const std::string cuda =
      executor::built_with_cuda() ? fmt::format(", cuda ({} GPUs here)", executor::cuda_devices()) : "";
  return fmt::format("optpipe {}\nbackends: cpu ({}){}\ntransports: in-process, MPI ({}), NCCL ({})",
                     OPTPIPE_VERSION, kernels::vector_target(), cuda, comm::mpi_library(),
                     comm::nccl_version());
}

}  // namespace

Parsed parse_command_line(int argc, const char* const* argv) {
  Parsed parsed;
  CLI::App app(
      "optpipe runs OPT language models larger than the GPUs at hand, as a pipeline\nover MPI ranks.",
      "optpipe");
  app.formatter(make_help_format());
  bool quiet = false, verbose = false;
  app.add_flag("--quiet", quiet, "Log warnings and errors only");
  app.add_flag("--verbose", verbose, "Log more");
  app.set_version_flag("--version", version_text, "Version, backends and transports");
  app.set_help_flag("-h,--help", "This help");
  app.footer("optpipe COMMAND --help lists the options of a command.");
  app.fallthrough();
  GenerateOptions generate;
  auto* generate_command = app.add_subcommand("generate", "Generate text from prompts");
  add_generate(*generate_command, generate);
  try {
    auto words = repeat_prompt_flag(argc, argv);
    std::ranges::reverse(words);  // as CLI11 takes them
    app.parse(std::move(words));
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
  if (!generate_command->parsed())
    throw UsageError("there is no command, such as generate; see optpipe --help");
  parsed.options.verbosity = quiet ? Verbosity::quiet : verbose ? Verbosity::debug : Verbosity::normal;
  check(generate);
  generate.verbosity = parsed.options.verbosity;
  parsed.options.generate = std::move(generate);
  return parsed;
}

}  // namespace optpipe::cli
