// Rank 0's desk: the prompts that come in, the files that go out.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>

#include "cli/generation.hpp"
#include "cli/journal.hpp"
#include "cli/options.hpp"
#include "cli/output_file.hpp"
#include "optpipe/model/checkpoint/checkpoint.hpp"

namespace optpipe::cli {

// Results go to standard output, a pipe or a device as they come, in input order. Results for a file are
// journaled as they come; the file appears, whole, when the run is done.
class Desk {
 public:
  // Reads and checks everything that the user gave, and opens the files to be written, but changes nothing in
  // them. Throws InputError, UsageError.
  Desk(const GenerateOptions& options, const model::ModelConfig& config, const model::Checkpoint& weights,
       bool on_gpu);

  Generation& generation() { return *generation_; }
  const Generation& generation() const { return *generation_; }

  void begin();  // empties the files: results follow
  // Results come in input order: whether the next one is there, and all up to the first that is not.
  bool has_results() const {
    return stream_ && written_ < generation_->size() && generation_->is_over(written_);
  }
  void write_results();
  void finish(const nlohmann::json& report);
  void write_trace(std::string_view text) {
    trace_->write(text);
  }  // --trace, piece by piece, before finish()

  // Whether the run was asked to stop before all prompts were finished; its results are safe then.
  bool is_interrupted() const;

 private:
  void open_files();
  void open_journal(const model::ModelConfig& config, const model::Checkpoint& weights, bool on_gpu);
  std::string line(std::size_t prompt) const;

  const GenerateOptions& options_;
  std::optional<model::Tokenizer> tokenizer_;
  std::optional<Generation> generation_;
  std::optional<OutputFile> stream_;  // either this
  std::optional<Journal> journal_;    // or this takes results as they come
  std::optional<OutputFile> report_, trace_;
  std::size_t written_ = 0;
};

}  // namespace optpipe::cli
