// The rounds of a benchmark: one stage, a warm-up, and what is measured.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/bench/rank_share.hpp"
#include "cli/bench/step_seconds.hpp"
#include "cli/bench/token_clock.hpp"
#include "cli/bench/workload.hpp"
#include "cli/job.hpp"

namespace optpipe::cli {

struct RoundFigures {
  executor::RunStatistics statistics;  // of this rank
  metrics::RunSplit split;             // of this rank
  std::optional<double> kv_share;      // of this rank's decode, as metrics::kv_share
  // The same of its first token steps alone, had it been cut there: after 2, 4, 8, ... of them.
  std::map<std::int64_t, std::optional<double>> kv_share_of_cuts;
  StepSeconds steps;  // of this rank
  // On rank 0 only.
  std::unique_ptr<TokenClock> tokens;
  std::vector<double> decode_step_s;
};

// Format in which hidden states travel between stages.
DType hidden_dtype(const Job& job);

class RoundRunner {
 public:
  // Collective: takes memory for the whole workload and reads weights. `prompts` on rank 0 only.
  RoundRunner(const BenchOptions& options, const Job& job, const Workload& workload,
              comm::Transport& transport, const PromptBook* prompts);
  RoundRunner(const RoundRunner&) = delete;
  RoundRunner& operator=(const RoundRunner&) = delete;

  void warm_up();
  // The workload's round until every prompt has `new_tokens` new tokens; all ranks begin together.
  RoundFigures run(std::int64_t new_tokens, const char* name);

  // Collective; on rank 0.
  std::vector<RankShare> gather_shares(const RoundFigures& figures);
  const std::vector<executor::RankBinding>& bindings() const { return ready_.bindings; }  // on rank 0
  std::vector<metrics::RankMemory> gather_memory() { return cli::gather_memory(ready_, transport_); }
  void write_trace(const std::function<void(std::string_view)>& sink);  // of run()s; nothing without --trace

  const ReadyStage& ready() const { return ready_; }
  void release();  // gives the stage's memory back

 private:
  RoundFigures run_round(const memory::Round& round, std::int64_t prompt_len, std::int64_t new_tokens,
                         const char* name);
  double kv_share_by_bytes() const;
  void observe(const schedule::Program& program, std::span<const schedule::StepTime> times,
               std::chrono::steady_clock::time_point round_begin);

  const Job& job_;
  const Workload& workload_;
  comm::Transport& transport_;
  const PromptBook* prompts_;
  std::optional<metrics::Trace> trace_;
  ReadyStage ready_;
  planner::Ledger memory_;
  bool recording_ = false;
  std::int64_t token_steps_ = 0;  // of the round that is recorded
  RoundFigures current_;
};

}  // namespace optpipe::cli
