#include "cli/bench/rounds.hpp"

#include <algorithm>
#include <iterator>

#include "cli/progress.hpp"
#include "optpipe/comm/gather.hpp"
#include "optpipe/planner/backend.hpp"

namespace optpipe::cli {

DType hidden_dtype(const Job& job) { return job.gpu ? DType::f16 : DType::f32; }

RoundRunner::RoundRunner(const BenchOptions& options, const Job& job, const Workload& workload,
                         comm::Transport& transport, const PromptBook* prompts)
    : job_(job), workload_(workload), transport_(transport), prompts_(prompts) {
  if (!options.trace.empty()) trace_.emplace(transport);
  const auto observer = [this](const auto& program, auto times, auto begin) {
    observe(program, times, begin);
  };
  const std::vector<memory::Round> rounds{workload.round, workload.warm_up};
  ready_ = set_up_stage(job, options.run, {options.run.policy, {}, observer}, rounds, transport);
  memory_ = planned_memory(job, ready_, rounds, transport);
  log::info("{}; {} prompt(s) in flight", describe(job, ready_, transport), workload.prompts);
}

void RoundRunner::warm_up() {
  const auto& first = workload_.warm_up.micro_batches[0][0][0];
  run_round(workload_.warm_up, first.prompt_tokens, first.new_tokens, "warm-up");
}

RoundFigures RoundRunner::run(std::int64_t new_tokens, const char* name) {
  recording_ = true;
  token_steps_ = new_tokens;
  auto figures = run_round(workload_.round, workload_.prompt_len, new_tokens, name);
  recording_ = false;
  if (!figures.kv_share) figures.kv_share = kv_share_by_bytes();
  for (auto& [cut, share] : figures.kv_share_of_cuts)
    if (!share) share = kv_share_by_bytes();
  return figures;
}

RoundFigures RoundRunner::run_round(const memory::Round& round, std::int64_t prompt_len,
                                    std::int64_t new_tokens, const char* name) {
  log::info("{}: {} prompt(s) of {} token(s), {} new ones each", name, workload_.prompts, prompt_len,
            new_tokens);
  current_ = {};
  std::optional<Progress> progress;
  if (prompts_ != nullptr) {
    current_.tokens = std::make_unique<TokenClock>(*prompts_, workload_.prompts, prompt_len, new_tokens);
    progress.emplace(workload_.prompts * new_tokens, workload_.prompts);
    current_.tokens->on_token([&](std::int64_t tokens) { progress->show(tokens); });
  }
  transport_.barrier();
  current_.statistics = ready_.stage->run(round, current_.tokens.get());
  if (current_.tokens) {
    current_.tokens->on_token({});
    current_.decode_step_s = current_.tokens->decode_step_s();
  }
  return std::move(current_);
}

// Where no times tell: the share of keys and values in the bytes that a decode step reads.
double RoundRunner::kv_share_by_bytes() const {
  const auto bytes = [&](planner::MemoryClass what) {
    double sum = 0;
    for (const auto place : planner::kPlaces) sum += static_cast<double>(memory_.at(place, what));
    return sum;
  };
  const double filled = static_cast<double>(workload_.prompt_len) /
                        static_cast<double>(workload_.prompt_len + workload_.gen_len);
  const double kv = bytes(planner::MemoryClass::kv) * filled;
  const double weights =
      bytes(planner::MemoryClass::weights) * static_cast<double>(workload_.round.micro_batches.size());
  return kv / (kv + weights);
}

void RoundRunner::observe(const schedule::Program& program, std::span<const schedule::StepTime> times,
                          std::chrono::steady_clock::time_point round_begin) {
  if (!recording_) return;
  // Where the run is cut, the program goes on without any sequence: its later steps did nothing.
  const auto first_steps = [&](std::int64_t token_steps) {
    std::vector<schedule::StepTime> ran;
    std::ranges::copy_if(times, std::back_inserter(ran), [&](const schedule::StepTime& time) {
      return program.step(time.step).token_step.value < token_steps;
    });
    return ran;
  };
  const auto ran = first_steps(token_steps_);
  current_.split = metrics::split_run(program, ran);
  current_.kv_share = metrics::kv_share(program, ran);
  for (std::int64_t cut = 2; cut < token_steps_; cut *= 2)
    current_.kv_share_of_cuts[cut] = metrics::kv_share(program, first_steps(cut));
  current_.steps = sum_steps(program, ran);
  if (trace_) record_into(trace_)(program, ran, round_begin);
}

std::vector<RankShare> RoundRunner::gather_shares(const RoundFigures& figures) {
  const auto& slice = job_.slices[static_cast<std::size_t>(transport_.rank().value)];
  auto shares = comm::gather_values<RankShare>(
      transport_, {slice.first.value, slice.end().value - 1, job_.gpu.value_or(-1), job_.threads, memory_,
                   figures.split});
  // All ranks began together, and rank 0 has the last token last.
  for (auto& share : shares) {
    const auto total = [](const metrics::RunSplit& split) {
      return split.prefill.total() + split.decode.total();
    };
    share.split.decode[metrics::Activity::drain] +=
        std::max(0.0, total(shares[0].split) - total(share.split));
  }
  return shares;
}

void RoundRunner::write_trace(const std::function<void(std::string_view)>& sink) {
  if (trace_) trace_->write(trace_label(job_, transport_), sink);
}

void RoundRunner::release() { ready_.stage.reset(); }

}  // namespace optpipe::cli
