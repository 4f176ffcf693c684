// Rank 0's desk: the prompts that come in, the files that go out.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>

#include "cli/generation.hpp"
#include "cli/options.hpp"
#include "cli/output_file.hpp"

namespace optpipe::cli {

class Desk {
 public:
  // Reads and checks everything that the user gave, and opens the files to be written, but changes nothing in
  // them. Throws InputError, UsageError.
  Desk(const GenerateOptions& options, const model::ModelConfig& config);

  Generation& generation() { return *generation_; }

  void begin();                       // empties the files: results follow
  void write_up_to(std::size_t end);  // results of prompts before `end`; they finish in input order
  void finish(const nlohmann::json& report);
  void write_trace(std::string_view text) {
    trace_->write(text);
  }  // --trace, piece by piece, before finish()

 private:
  const GenerateOptions& options_;
  std::optional<model::Tokenizer> tokenizer_;
  std::optional<Generation> generation_;
  OutputFile results_;
  std::optional<OutputFile> report_, trace_;
  std::size_t written_ = 0;
};

}  // namespace optpipe::cli
