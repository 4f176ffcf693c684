#include "cli/desk.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <tuple>

#include "cli/durable_file.hpp"
#include "cli/run_identity.hpp"
#include "cli/stop_request.hpp"
#include "optpipe/base/environment.hpp"
#include "optpipe/base/error.hpp"
#include "optpipe/base/log.hpp"

namespace optpipe::cli {
namespace {

namespace fs = std::filesystem;

// Prompts of the command line are few and at hand: there is nothing to go on with where one is wrong.
BadPrompts bad_prompts(const GenerateOptions& options) {
  return options.strict || !options.prompts.empty() ? BadPrompts::refuse : BadPrompts::report;
}

std::vector<Prompt> read_all_prompts(const GenerateOptions& options) {
  if (!options.prompts.empty()) return prompts_from_texts(options.prompts);
  if (options.input == "-") {
    if (!launch_environment().forwards_input)
      throw UsageError(
          "--input -: mpirun of Open MPI 5 may withhold or repeat what it hands on to rank 0; give a file of "
          "JSON lines");
    return read_prompts(std::cin, "standard input", bad_prompts(options));
  }
  std::error_code ignored;
  if (fs::is_directory(options.input, ignored))
    throw InputError(fmt::format("--input {}: this is a folder; give a file of JSON lines", options.input));
  std::ifstream file(options.input);
  if (!file)
    throw InputError(fmt::format("--input {}: the file cannot be opened: {}; give a file of JSON lines",
                                 options.input, std::strerror(errno)));
  return read_prompts(file, options.input, bad_prompts(options));
}

// A file that is not one of prompts has nothing but bad lines.
void check_errors(const Generation& generation) {
  if (generation.errors() == 0) return;
  std::size_t first = 0;
  while (!generation.source(first).error) ++first;
  const auto& error = *generation.source(first).error;
  if (generation.errors() == generation.size()) throw InputError(error);
  log::warn(
      "{} of {} prompts are bad; their entries in the output say why (--strict: end at the first). First: {}",
      generation.errors(), generation.size(), error);
}

// Whether results can be put there by renaming; what is not there yet will be a file. /dev/stdout may be a
// file, but not one that can be replaced.
bool takes_whole_file(const std::string& output) {
  if (output.starts_with("/dev/") || output.starts_with("/proc/")) return false;
  std::error_code error;
  const auto type = fs::status(output, error).type();
  return type == fs::file_type::regular || type == fs::file_type::not_found;
}

bool is_same_file(const std::string& a, const std::string& b) {
  std::error_code ignored;
  return a == b || fs::equivalent(a, b, ignored);
}

}  // namespace

Desk::Desk(const GenerateOptions& options, const model::ModelConfig& config, const model::Checkpoint& weights,
           bool on_gpu)
    : options_(options) {
  std::error_code ignored;
  if (fs::exists(fs::path(options.model.model) / "vocab.json", ignored))
    tokenizer_.emplace(options.model.model);
  open_files();
  StopRules rules{options.ignore_eos ? std::vector<std::int64_t>{} : config.eos_tokens, options.stop};
  generation_.emplace(read_all_prompts(options), tokenizer_ ? &*tokenizer_ : nullptr, config,
                      std::move(rules), options.max_new_tokens, bad_prompts(options));
  check_errors(*generation_);
  if (!stream_) open_journal(config, weights, on_gpu);
}

void Desk::open_files() {
  const auto& [output, json, trace] = std::tie(options_.output, options_.json, options_.trace);
  if (!output.empty() && is_same_file(output, options_.input))
    throw UsageError(
        fmt::format("--output {} is the input file: name another one, or the prompts are lost", output));
  using Named = std::pair<const char*, const std::string&>;
  for (const auto& [a, b] : {std::pair<Named, Named>{{"--output", output}, {"--json", json}},
                             {{"--output", output}, {"--trace", trace}},
                             {{"--json", json}, {"--trace", trace}}})
    if (!a.second.empty() && !b.second.empty() && takes_whole_file(a.second) &&
        is_same_file(a.second, b.second))
      throw UsageError(fmt::format("{} and {} both name {}: give each its own", a.first, b.first, b.second));
  if (output.empty() || !takes_whole_file(output)) stream_.emplace("--output", output);
  if (!stream_ && access(output.c_str(), F_OK) == 0 && access(output.c_str(), W_OK) != 0)
    throw InputError(fmt::format("--output {}: the file cannot be written: {}; name one that can", output,
                                 std::strerror(errno)));
  if (options_.resume && stream_)
    throw UsageError(
        fmt::format("--resume: --output {} is no file, so nothing of an earlier run is kept", output));
  if (!json.empty()) report_.emplace("--json", json);
  if (!trace.empty()) trace_.emplace("--trace", trace);
}

void Desk::open_journal(const model::ModelConfig& config, const model::Checkpoint& weights, bool on_gpu) {
  journal_.emplace(Journal::path_for(options_.output),
                   run_identity(options_, config, weights, *generation_, on_gpu), options_.resume);
  for (const auto& entry : journal_->earlier()) generation_->restore(entry.prompt, entry.tokens);
  if (options_.resume)
    log::info("{} of {} prompts were finished by earlier runs ({})", journal_->size(), generation_->size(),
              journal_->path());
  generation_->on_over([this](std::size_t prompt) {
    journal_->add({static_cast<std::int64_t>(prompt), generation_->tokens(prompt)});
  });
  generation_->stop_when([] { return !stop_request().empty(); });
}

void Desk::begin() {
  if (stream_) stream_->begin();
  if (report_) report_->begin();
  if (trace_) trace_->begin();
}

std::string Desk::line(std::size_t prompt) const {
  if (generation_->source(prompt).error) return to_line(generation_->source(prompt), {}) + '\n';
  const Completion completion = generation_->completion(prompt);
  const bool plain = !options_.prompts.empty() && stream_ && stream_->is_standard_output() && completion.text;
  return (plain ? *completion.text : to_line(generation_->source(prompt), completion)) + '\n';
}

void Desk::write_results() {
  if (!stream_) return;
  std::string lines;
  for (; written_ < generation_->size() && generation_->is_over(written_); ++written_)
    lines += line(written_);
  stream_->write(lines);
}

bool Desk::is_interrupted() const {
  return journal_ && !stop_request().empty() && !generation_->sequences().empty();
}

void Desk::finish(const nlohmann::json& report) {
  if (stream_) {
    write_results();
    stream_->finish();
  } else {
    WholeFile file("--output", options_.output);
    for (std::size_t i = 0; i < generation_->size(); ++i) file.write(line(i));
    file.commit();
    journal_->remove();
  }
  if (trace_) trace_->finish();
  if (!report_) return;
  report_->write(report.dump(2) + '\n');
  report_->finish();
}

}  // namespace optpipe::cli
