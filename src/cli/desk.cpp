#include "cli/desk.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>

#include "optpipe/base/error.hpp"

namespace optpipe::cli {
namespace {

namespace fs = std::filesystem;

std::vector<Prompt> read_all_prompts(const GenerateOptions& options) {
  if (!options.prompts.empty()) return prompts_from_texts(options.prompts);
  if (options.input == "-") return read_prompts(std::cin, "standard input");
  std::error_code ignored;
  if (fs::is_directory(options.input, ignored))
    throw InputError(fmt::format("--input {}: this is a folder; give a file of JSON lines", options.input));
  std::ifstream file(options.input);
  if (!file)
    throw InputError(fmt::format("--input {}: the file cannot be opened: {}; give a file of JSON lines",
                                 options.input, std::strerror(errno)));
  return read_prompts(file, options.input);
}

}  // namespace

Desk::Desk(const GenerateOptions& options, const model::ModelConfig& config)
    : options_(options), results_("--output", options.output) {
  std::error_code ignored;
  if (fs::exists(fs::path(options.model.model) / "vocab.json", ignored))
    tokenizer_.emplace(options.model.model);
  StopRules rules{options.ignore_eos ? std::vector<std::int64_t>{} : config.eos_tokens, options.stop};
  generation_.emplace(read_all_prompts(options), tokenizer_ ? &*tokenizer_ : nullptr, config,
                      std::move(rules), options.max_new_tokens);
  if (!options.json.empty()) report_.emplace("--json", options.json);
  if (!options.trace.empty()) trace_.emplace("--trace", options.trace);
  if (!options.output.empty() && results_.is_same_file(options.input))
    throw UsageError(fmt::format("--output {} is the input file: name another one, or the prompts are lost",
                                 options.output));
  if (report_ && !options.output.empty() && report_->is_same_file(options.output))
    throw UsageError(fmt::format("--output and --json both name {}: give each its own", options.json));
  for (const auto& [flag, path] : {std::pair{"--output", options.output}, {"--json", options.json}})
    if (trace_ && !path.empty() && trace_->is_same_file(path))
      throw UsageError(fmt::format("{} and --trace both name {}: give each its own", flag, path));
}

void Desk::begin() {
  results_.begin();
  if (report_) report_->begin();
  if (trace_) trace_->begin();
}

void Desk::write_up_to(std::size_t end) {
  std::string lines;
  for (; written_ < end; ++written_) {
    const Completion completion = generation_->completion(written_);
    const bool plain = !options_.prompts.empty() && results_.is_standard_output() && completion.text;
    lines += plain ? *completion.text : to_line(generation_->source(written_), completion);
    lines += '\n';
  }
  results_.write(lines);
}

void Desk::finish(const nlohmann::json& report) {
  results_.finish();
  if (trace_) trace_->finish();
  if (!report_) return;
  report_->write(report.dump(2) + '\n');
  report_->finish();
}

}  // namespace optpipe::cli
