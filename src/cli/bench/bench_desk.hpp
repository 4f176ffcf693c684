// Rank 0's desk in a benchmark: where lines and files go.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string_view>

#include "cli/bench/prompt_book.hpp"
#include "cli/options.hpp"
#include "cli/output_file.hpp"

namespace optpipe::cli {

class TokenClock;

class BenchDesk {
 public:
  // Reads the tokenizer, where there is one, and opens the files to be written, but changes nothing in them.
  // Throws InputError, UsageError.
  BenchDesk(const BenchOptions& options, const model::ModelConfig& config);

  const PromptBook& prompts() const { return *prompts_; }

  // On standard output, at --verbose `level` and above.
  void print(int level, std::string_view text);
  // Texts of the first and the last prompt, as FlexGen prints them; nothing where weights are random or there
  // is no tokenizer.
  void print_texts(const TokenClock& tokens);

  void begin();  // empties the files
  void write_trace(std::string_view text) { trace_->write(text); }
  void write_report(const nlohmann::json& report);
  void write_log(std::string_view lines);  // appends to the log file
  void finish();

 private:
  const BenchOptions& options_;
  std::optional<model::Tokenizer> tokenizer_;
  std::optional<PromptBook> prompts_;
  OutputFile standard_output_;
  std::optional<OutputFile> report_, trace_;
};

// FlexGen's name of the log file for these flags:
// "fo-6.7b-gbs4-ngbs1-prompt512-gen32-percent-100-0-100-0-100-0- gpu-cache.log".
std::string automatic_log_name(const BenchOptions& options);

}  // namespace optpipe::cli
