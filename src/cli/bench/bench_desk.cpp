#include "cli/bench/bench_desk.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "cli/bench/token_clock.hpp"
#include "optpipe/base/error.hpp"
#include "optpipe/model/checkpoint/checkpoint.hpp"

namespace optpipe::cli {

namespace fs = std::filesystem;

namespace {

std::string log_name(const BenchOptions& options) {
  return options.log_file == "auto" ? automatic_log_name(options) : options.log_file;
}

// Whether lines can be appended to the log file, before a long run rather than after it.
void check_log(const BenchOptions& options) {
  const std::string name = log_name(options);
  std::error_code ignored;
  const bool existed = fs::exists(name, ignored);
  if (!std::ofstream(name, std::ios::app))
    throw InputError(
        fmt::format("--log-file {}: the file cannot be written: {}; name one that can, or add --no-log", name,
                    std::strerror(errno)));
  if (!existed) fs::remove(name, ignored);
}

}  // namespace

std::string automatic_log_name(const BenchOptions& options) {
  const auto& policy = options.run.policy;
  const fs::path model = fs::path(options.model.model).filename();
  const std::string name = model.empty() ? fs::path(options.model.model).parent_path().filename() : model;
  std::string percent;
  for (const double each : options.run.percent) percent += fmt::format("{}-", each);
  return fmt::format("fo-{}-gbs{}-ngbs{}-prompt{}-gen{}-percent-{}{}{}{}.log",
                     name.substr(name.rfind('-') + 1), policy.gpu_batch_size, policy.gpu_batches,
                     options.prompt_len, options.gen_len, percent,
                     policy.attention == memory::AttentionPlace::cpu ? "cpu-cache" : "gpu-cache",
                     policy.weight_format == StorageFormat::native ? "" : "-compw",
                     policy.x_cache                              ? "-xc"
                     : policy.kv_format == StorageFormat::native ? ""
                                                                 : "-compc");
}

BenchDesk::BenchDesk(const BenchOptions& options, const model::ModelConfig& config)
    : options_(options), standard_output_("", "") {
  std::error_code ignored;
  if (fs::exists(fs::path(options.model.model) / "vocab.json", ignored))
    tokenizer_.emplace(options.model.model);
  prompts_.emplace(config, tokenizer_ ? &*tokenizer_ : nullptr, options.verify);
  if (!options.no_log) check_log(options);
  if (!options.json.empty()) report_.emplace("--json", options.json);
  if (!options.trace.empty()) trace_.emplace("--trace", options.trace);
  if (report_ && trace_ && trace_->is_same_file(options.json))
    throw UsageError(fmt::format("--json and --trace both name {}: give each its own", options.json));
}

void BenchDesk::print(int level, std::string_view text) {
  if (options_.verbose >= level) standard_output_.write(text);
}

void BenchDesk::print_texts(const TokenClock& tokens) {
  if (!tokenizer_ || model::is_dummy_path(options_.model.path) || options_.verbosity == Verbosity::quiet)
    return;
  const std::string rule(70, '-');
  std::string text = "Outputs:\n" + rule + '\n';
  for (const auto index : {std::int64_t{0}, tokens.prompts() - 1}) {
    std::vector<std::int32_t> known;
    for (const auto token : tokens.tokens_of(index))
      if (token < tokenizer_->vocabulary()) known.push_back(token);
    text += fmt::format("{}: {}{}\n{}\n", index, PromptBook::kSentence, tokenizer_->decode(known), rule);
  }
  print(2, text);
}

void BenchDesk::begin() {
  if (report_) report_->begin();
  if (trace_) trace_->begin();
}

void BenchDesk::write_report(const nlohmann::json& report) {
  if (report_) report_->write(report.dump(2) + '\n');
}

void BenchDesk::write_log(std::string_view lines) {
  if (options_.no_log) return;
  std::ofstream log(log_name(options_), std::ios::app);
  log << lines << std::flush;
  if (!log) throw_errno(fmt::format("writing --log-file {}", log_name(options_)));
}

void BenchDesk::finish() {
  if (report_) report_->finish();
  if (trace_) trace_->finish();
}

}  // namespace optpipe::cli
