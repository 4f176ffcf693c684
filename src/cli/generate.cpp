#include <fmt/format.h>

#include <algorithm>

#include "cli/binding_report.hpp"
#include "cli/commands.hpp"
#include "cli/desk.hpp"
#include "cli/end_all_ranks.hpp"
#include "cli/job.hpp"
#include "cli/place_attention.hpp"
#include "cli/progress.hpp"
#include "cli/report.hpp"
#include "cli/stop_request.hpp"
#include "optpipe/comm/link_speed.hpp"
#include "optpipe/executor/pipeline.hpp"
#include "optpipe/planner/prefill.hpp"

namespace optpipe::cli {
namespace {

// The policy for so many prompts: no more batches than there are prompts, and where the user leaves the batch
// size open, all prompts over the batches in flight, but no more than fill the cores.
memory::Policy fit_policy(memory::Policy policy, std::size_t prompt_count, int ranks) {
  constexpr std::int64_t kMost = 32;
  const auto prompts = std::max(static_cast<std::int64_t>(prompt_count), std::int64_t{1});
  policy.gpu_batches = std::min(policy.gpu_batches, prompts);
  policy.micro_batches = std::min(policy.micro_batches, prompts);
  // CPU cores attend for batches of new tokens alone.
  policy.refill = policy.refill && policy.attention == memory::AttentionPlace::gpu;
  const auto batches = policy.micro_batches_for(ranks) * policy.gpu_batches;
  if (policy.gpu_batch_size == 0)
    policy.gpu_batch_size = std::clamp((prompts + batches - 1) / batches, std::int64_t{1}, kMost);
  return policy;
}

executor::RunStatistics run(executor::Stage& stage, const std::vector<memory::Round>& rounds,
                            std::optional<Desk>& desk, comm::Transport& transport) {
  const auto goes_on = [&] {  // as rank 0 has been told
    const std::vector<std::byte> answer{std::byte{stop_request().empty()}};
    return transport.broadcast(answer, Rank(0)).at(0) != std::byte{0};
  };
  if (!desk) return executor::run_rounds(stage, rounds, nullptr, {}, goes_on);
  std::int64_t most_tokens = 0;
  for (const auto& sequence : desk->generation().sequences()) most_tokens += sequence.new_tokens;
  Progress progress(most_tokens);
  const auto write_results = [&] {
    progress.clear_line();
    desk->write_results();
  };
  desk->generation().on_token([&](std::int64_t tokens) {
    progress.show(tokens);
    if (desk->has_results()) write_results();
  });
  const auto after_round = [&](std::size_t) { write_results(); };
  return executor::run_rounds(stage, rounds, &desk->generation(), after_round, goes_on);
}

// Throws where the run was asked to stop.
void check_interrupted(const GenerateOptions& options, const Desk& desk) {
  if (!desk.is_interrupted()) return;
  const auto& generation = desk.generation();
  throw Error(
      ExitStatus::failure,
      fmt::format("stopped by {}: {} of {} prompts are finished and kept in {}; run the same command with "
                  "--resume to go on",
                  stop_request(), generation.size() - generation.sequences().size(), generation.size(),
                  Journal::path_for(options.output)));
}

void run_job(const GenerateOptions& options, comm::Transport& transport) {
  Job job;
  memory::Policy wanted;
  std::optional<Desk> desk;  // on rank 0
  executor::agree(transport, [&] {
    job = prepare_job(options.model, options.run, transport);
    wanted = with_weight_format(job, options.run.policy, transport);
    if (transport.is_first()) desk.emplace(options, job.config, *job.weights, job.gpu.has_value());
  });
  bind_job(job, options.run, transport);
  const auto sequences = executor::share_sequences(
      transport, desk ? desk->generation().sequences() : std::vector<memory::Sequence>{});
  auto policy = fit_policy(wanted, sequences.size(), transport.size());
  const auto rounds = memory::make_rounds(sequences, policy, transport.size());
  policy = place_attention(job, policy, rounds, transport);
  policy = planner::settle_prefill(policy, rounds, transport.size(), job.config.dtype,
                                   job.gpu ? planner::Backend::cuda : planner::Backend::cpu);

  std::optional<metrics::Trace> trace;
  if (!options.trace.empty()) trace.emplace(transport);
  const auto ready =
      set_up_stage(job, options.run, {policy, options.sampling, record_into(trace)}, rounds, transport);
  if (rounds.empty())
    log::info("{}: there is nothing to generate", desk && desk->generation().size() > 0
                                                      ? "all prompts are finished"
                                                      : "the input holds no prompts");
  else
    log::info("{}; {} prompt(s) in {} round(s)", describe(job, ready, transport), sequences.size(),
              rounds.size());
  std::vector<comm::LinkSpeed> links;
  if (!options.json.empty()) links = comm::measure_links(transport);
  executor::RunStatistics statistics;
  std::vector<metrics::RankUse> ranks;
  std::vector<metrics::RankMemory> memory;
  try {
    if (desk) desk->begin();
    if (ready.stage) statistics = run(*ready.stage, rounds, desk, transport);
    ranks = gather_use(statistics, transport);
    memory = gather_memory(ready, transport);
    if (trace)
      trace->write(trace_label(job, transport), [&](std::string_view text) { desk->write_trace(text); });
  } catch (...) {  // not in a step, whose failures the stage handles, but in writing results, say
    end_all_ranks(transport)(std::current_exception());
    throw;
  }
  if (!desk) return;
  check_interrupted(options, *desk);
  log::info("{} new tokens in {:.2f} s", desk->generation().new_tokens(), statistics.total_s);
  const bool shows_use = trace || options.verbosity == Verbosity::debug;
  for (const auto& line : shows_use ? metrics::to_table(ranks) : std::vector<std::string>{})
    log::info("{}", line);
  for (const auto& line : options.run.show_memory ? metrics::to_table(memory) : std::vector<std::string>{})
    log::info("{}", line);
  auto report = make_report(options, job.config, ready.policy, ranks, desk->generation(), statistics);
  report["binding"] = binding_json(options.run.bind, ready.bindings);
  report["memory"] = metrics::to_json(memory);
  report["links"] = to_json(links);
  desk->finish(report);
}

}  // namespace

void generate(const GenerateOptions& options, comm::Transport& transport) {
  try {
    run_job(options, transport);
  } catch (const PeerError&) {  // ranks that do not answer cannot be waited for either
    end_all_ranks(transport)(std::current_exception());
    throw;
  } catch (const SystemError&) {  // where ranks have agreed on nothing, the others wait for this one
    end_all_ranks(transport)(std::current_exception());
    throw;
  }
}

}  // namespace optpipe::cli
