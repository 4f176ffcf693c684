#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <thread>

#include "cli/commands.hpp"
#include "cli/generation.hpp"
#include "cli/progress.hpp"
#include "optpipe/base/environment.hpp"
#include "optpipe/executor/pipeline.hpp"
#include "optpipe/metrics/result.hpp"

namespace optpipe::cli {
namespace {

namespace fs = std::filesystem;

model::ModelConfig read_config(const ModelOptions& options) {
  if (fs::is_directory(options.model)) return model::load_config(options.model);
  if (model::is_dummy_path(options.path)) return model::config_of_size(options.model);
  throw InputError(fmt::format(
      "--model {}: there is no such folder; give a checkpoint folder (config.json and weights), or add "
      "--path DUMMY to run a known size with random weights",
      options.model));
}

std::unique_ptr<model::Checkpoint> open_weights(const ModelOptions& options,
                                                const model::ModelConfig& config) {
  if (model::is_dummy_path(options.path))
    return model::open_dummy_checkpoint(config, options.dummy_seed, config.dtype);
  return model::open_checkpoint(options.path.empty() ? options.model : options.path);
}

std::vector<Prompt> read_all_prompts(const GenerateOptions& options) {
  if (!options.prompts.empty()) return prompts_from_texts(options.prompts);
  if (options.input == "-") return read_prompts(std::cin, "standard input");
  std::ifstream file(options.input);
  if (!file)
    throw InputError(
        fmt::format("--input {}: the file cannot be opened: {}", options.input, std::strerror(errno)));
  return read_prompts(file, options.input);
}

std::vector<model::StageSlice> cut_model(const RunOptions& options, const model::ModelConfig& config,
                                         int ranks) {
  if (options.stage_layers.empty()) return model::balance_stages(config, ranks);
  if (static_cast<int>(options.stage_layers.size()) != ranks)
    throw UsageError(fmt::format("--stage-layers names {} stages, but there are {} ranks",
                                 options.stage_layers.size(), ranks));
  return model::cut_stages(config, options.stage_layers);
}

int thread_count(const RunOptions& options, const comm::Node& node) {
  if (options.threads > 0) return options.threads;
  if (const auto threads = omp_num_threads()) return *threads;
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()) / node.local_size);
}

// Prompts at once, where the user leaves it open: all of them over the batches in flight, but no more than
// fill the cores.
std::int64_t choose_batch(std::size_t prompts, const memory::Policy& policy, int ranks) {
  constexpr std::int64_t kMost = 32;
  const auto batches = policy.micro_batches_for(ranks) * policy.gpu_batches;
  return std::clamp((static_cast<std::int64_t>(prompts) + batches - 1) / batches, std::int64_t{1}, kMost);
}

// Rank 0's files and tokens.
class Desk {
 public:
  Desk(const GenerateOptions& options, const model::ModelConfig& config) : options_(options) {
    if (fs::exists(fs::path(options.model.model) / "vocab.json")) tokenizer_.emplace(options.model.model);
    StopRules rules{options.ignore_eos ? std::vector<std::int64_t>{} : config.eos_tokens, options.stop};
    generation_.emplace(read_all_prompts(options), tokenizer_ ? &*tokenizer_ : nullptr, config,
                        std::move(rules), options.max_new_tokens);
    if (options.output.empty()) return;
    file_.open(options.output);
    if (!file_)
      throw InputError(
          fmt::format("--output {}: the file cannot be written: {}", options.output, std::strerror(errno)));
  }

  Generation& generation() { return *generation_; }

  // Prompts finish round by round, in input order.
  void write_up_to(std::size_t end) {
    std::ostream& out = file_.is_open() ? file_ : std::cout;
    for (; written_ < end; ++written_) {
      const Completion completion = generation_->completion(written_);
      const bool plain = !options_.prompts.empty() && !file_.is_open() && completion.text;
      out << (plain ? *completion.text : to_line(generation_->source(written_), completion)) << '\n';
    }
    out.flush();
    if (!out)
      throw SystemError(fmt::format("writing {} failed: {}",
                                    file_.is_open() ? options_.output : "standard output",
                                    std::strerror(errno)));
  }

 private:
  const GenerateOptions& options_;
  std::optional<model::Tokenizer> tokenizer_;
  std::optional<Generation> generation_;
  std::ofstream file_;
  std::size_t written_ = 0;
};

metrics::Result summarize(const Generation& generation, const executor::RunStatistics& statistics) {
  metrics::Result result;
  result.prompts = static_cast<std::int64_t>(generation.size());
  result.prompt_tokens = generation.prompt_tokens();
  result.new_tokens = generation.new_tokens();
  result.prefill_s = statistics.prefill_s;
  result.decode_s = statistics.total_s - statistics.prefill_s;
  return result;
}

nlohmann::json input_of(const GenerateOptions& options, const model::ModelConfig& config,
                        const memory::Policy& policy, int ranks) {
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
          {"max_new_tokens", options.max_new_tokens}};
}

void write_report(const std::string& path, const nlohmann::json& report) {
  std::ofstream file(path);
  file << report.dump(2) << '\n';
  file.flush();
  if (!file)
    throw SystemError(fmt::format("--json {}: the file cannot be written: {}", path, std::strerror(errno)));
}

// A failure in the token loop: this rank says so, and all ranks end.
executor::FailureHandler end_all_ranks(comm::Transport& transport) {
  return [&transport](std::exception_ptr failure) {
    ExitStatus status = ExitStatus::failure;
    std::string why = "unknown failure";
    try {
      std::rethrow_exception(failure);
    } catch (const Error& error) {
      status = error.status();
      why = error.what();
    } catch (const std::exception& error) {
      why = error.what();
    }
    if (transport.size() > 1)
      log::error("rank {} on {}: {}", transport.rank().value, transport.node().host, why);
    transport.abort(status, why);
  };
}

}  // namespace

void generate(const GenerateOptions& options, comm::Transport& transport) {
  model::ModelConfig config;
  std::unique_ptr<model::Checkpoint> weights;
  std::vector<model::StageSlice> slices;
  std::optional<Desk> desk;
  executor::agree(transport, [&] {
    config = read_config(options.model);
    weights = open_weights(options.model, config);
    slices = cut_model(options.run, config, transport.size());
    if (transport.is_first()) desk.emplace(options, config);
  });

  const auto sequences = executor::share_sequences(
      transport, desk ? desk->generation().sequences() : std::vector<memory::Sequence>{});
  memory::Policy policy = options.run.policy;
  if (policy.gpu_batch_size == 0)
    policy.gpu_batch_size = choose_batch(sequences.size(), policy, transport.size());
  const auto rounds = memory::make_rounds(sequences, policy, transport.size());
  const auto& slice = slices[static_cast<std::size_t>(transport.rank().value)];

  executor::StageOptions stage_options{policy, options.sampling, options.run.offload_directory,
                                       thread_count(options.run, transport.node())};
  if (stage_options.offload_directory.empty()) stage_options.offload_directory = temporary_directory();
  std::unique_ptr<executor::Stage> stage;
  executor::agree(transport, [&] {
    stage = executor::make_cpu_stage(config, slice, *weights, rounds, stage_options, transport,
                                     end_all_ranks(transport));
  });
  log::info("{}: {} layers over {} rank(s), {} thread(s) each, {} prompts in {} round(s)",
            weights->describe(), config.layers, transport.size(), stage_options.threads, sequences.size(),
            rounds.size());

  std::int64_t most_tokens = 0;
  for (const auto& sequence : sequences) most_tokens += sequence.new_tokens;
  Progress progress(most_tokens, transport.is_first());
  if (desk) desk->generation().on_token([&](std::int64_t tokens) { progress.show(tokens); });
  std::size_t finished = 0;
  const auto statistics =
      executor::run_rounds(*stage, rounds, desk ? &desk->generation() : nullptr, [&](std::size_t round) {
        finished += static_cast<std::size_t>(rounds[round].sequences());
        desk->write_up_to(finished);
      });
  if (!desk) return;
  const auto result = to_json(summarize(desk->generation(), statistics));
  log::info("{} new tokens in {:.2f} s", desk->generation().new_tokens(), statistics.total_s);
  if (!options.json.empty())
    write_report(options.json,
                 {{"input", input_of(options, config, policy, transport.size())}, {"result", result}});
}

}  // namespace optpipe::cli
