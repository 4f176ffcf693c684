#include <fmt/format.h>
#include <fmt/ranges.h>

#include <nlohmann/json.hpp>

#include "cli/bench/bench_desk.hpp"
#include "cli/bench/outcome.hpp"
#include "cli/bench/rounds.hpp"
#include "cli/bench/verify.hpp"
#include "cli/binding_report.hpp"
#include "cli/commands.hpp"
#include "cli/end_all_ranks.hpp"
#include "cli/place_attention.hpp"
#include "optpipe/executor/pipeline.hpp"
#include "optpipe/metrics/sizes.hpp"

namespace optpipe::cli {
namespace {

// As FlexGen has it, a rank's number comes from outside; here MPI's is the only one.
void check_ranks(const BenchOptions& options, const comm::Transport& transport) {
  if (options.world_size > 0 && options.world_size != transport.size())
    throw UsageError(fmt::format("--world-size {}: MPI started {} rank(s); start that many with mpirun -n {}",
                                 options.world_size, transport.size(), options.world_size));
  if (!options.idle_flags.empty())
    log::info("accepted, with nothing to do here: {}", fmt::join(options.idle_flags, ", "));
}

void check_machine(const BenchOptions& options, const Job& job) {
  if (options.machine.empty()) return;
  const auto machine = simulator::load_machine(options.machine);
  if (machine.device.is_gpu != job.gpu.has_value())
    throw UsageError(
        fmt::format("--machine {}: its rates are those of a {}, but the ranks compute on {}; name another",
                    options.machine, machine.device.is_gpu ? "GPU" : "CPU", job.gpu ? "GPUs" : "CPUs"));
}

Outcome begin_outcome(const BenchOptions& options, const Job& job, const Workload& workload) {
  Outcome outcome;
  const auto positions = workload.prompt_len + workload.gen_len;
  outcome.sizes = {metrics::model_bytes(job.config),
                   metrics::cache_bytes(job.config, workload.prompts, positions),
                   metrics::hidden_bytes(job.config, workload.prompts, positions)};
  const auto sent = [&](std::int64_t tokens) {
    return micro_batch_bytes(options.run.policy, job.config, tokens, hidden_dtype(job));
  };
  outcome.micro_batch_prefill = sent(workload.prompt_len);
  outcome.micro_batch_decode = sent(1);
  return outcome;
}

std::optional<metrics::Projection> project(const Workload& workload, const RoundFigures& round,
                                           std::vector<double> step_s, std::size_t stages) {
  return metrics::project_decode({.step_s = std::move(step_s),
                                  .prompt_tokens = workload.prompt_len,
                                  .new_tokens = workload.gen_len,
                                  .fill_steps = stages > 1 ? 1 : 0,
                                  .kv_share = round.kv_share});
}

// Rank 0's figures of the measured round.
void count(Outcome& outcome, const Workload& workload, const RoundFigures& round, std::size_t stages) {
  auto& result = outcome.result;
  result.prompts = workload.prompts;
  result.prompt_tokens = workload.prompts * workload.prompt_len;
  result.new_tokens = workload.prompts * workload.gen_len;
  result.prefill_s = round.statistics.prefill_s;
  result.projected = workload.is_cut();
  outcome.decode_step_s = round.decode_step_s;
  outcome.steps = round.steps;
  outcome.projection = project(workload, round, round.decode_step_s, stages);
  if (outcome.projection) result.decode_s = outcome.projection->decode_s;
}

void check_projection(Outcome& outcome, const Workload& workload, const RoundFigures& whole,
                      std::size_t stages) {
  if (!outcome.projection) return;
  Validation validation;
  for (const double seconds : whole.decode_step_s) validation.decode_s += seconds;
  const auto error = [&](double projected_s) { return projected_s / validation.decode_s - 1; };
  validation.error = error(outcome.projection->decode_s);
  for (std::int64_t cut = 2; cut < workload.gen_len; cut *= 2) {
    const auto& all = whole.decode_step_s;
    const auto p = project(workload, whole, {all.begin(), all.begin() + (cut - 1)}, stages);
    validation.prefixes.push_back({cut, p->decode_s, error(p->decode_s)});
  }
  outcome.validation = validation;
}

void write(const BenchOptions& options, const Job& job, const Workload& workload, const Outcome& outcome,
           BenchDesk& desk) {
  const std::string lines = metrics::result_lines(outcome.sizes, outcome.result);
  desk.print(2, details(outcome, options.debug_mode == "breakdown"));
  for (const auto& line :
       options.run.show_memory ? metrics::to_table(outcome.memory) : std::vector<std::string>{})
    desk.print(1, line + "\n");
  desk.print(1, lines);
  desk.write_log(lines);
  auto report = make_report(options, job.config, workload, outcome);
  report["binding"] = binding_json(options.run.bind, outcome.bindings);
  desk.write_report(report);
  desk.finish();
}

void run_bench(BenchOptions options, comm::Transport& transport) {
  Job job;
  Workload workload;
  std::optional<BenchDesk> desk;  // on rank 0
  executor::agree(transport, [&] {
    check_ranks(options, transport);
    job = prepare_job(options.model, options.run, transport);
    workload = plan_workload(options, job.config, transport.size());
    check_machine(options, job);
    if (transport.is_first()) desk.emplace(options, job.config);
  });
  bind_job(job, options.run, transport);
  options.run.policy = place_attention(job, options.run.policy, {workload.round}, transport);
  Outcome outcome = begin_outcome(options, job, workload);
  if (desk)
    desk->print(
        2, size_lines(outcome, options.run.policy.micro_batches_for(transport.size()), hidden_dtype(job)));

  RoundRunner runner(options, job, workload, transport, desk ? &desk->prompts() : nullptr);
  std::exception_ptr not_verified;
  try {
    if (desk) desk->begin();
    runner.warm_up();
    const auto measured = runner.run(workload.run_len, "benchmark");
    if (desk) count(outcome, workload, measured, job.slices.size());
    if (options.validate_projection) {
      const auto whole = runner.run(workload.gen_len, "benchmark at full length");
      if (desk) check_projection(outcome, workload, whole, job.slices.size());
    }
    outcome.use = gather_use(measured.statistics, transport);
    outcome.shares = runner.gather_shares(measured);
    outcome.bindings = runner.bindings();
    outcome.memory = runner.gather_memory();
    outcome.sizes.peak_gpu = peak_gpu_bytes(outcome.shares);
    if (desk)
      outcome.resources =
          find_resources(options, job, runner.ready(), workload, outcome.use, measured.kv_share, transport);
    runner.write_trace([&](std::string_view text) { desk->write_trace(text); });
    runner.release();
    if (options.verify && desk) {
      try {
        outcome.verification = verify(options, workload, desk->prompts(), *measured.tokens);
      } catch (const Error&) {  // what was measured is worth printing all the same
        not_verified = std::current_exception();
      }
    }
    transport.barrier();  // the others wait for the verification
    if (desk) {
      desk->print_texts(*measured.tokens);
      write(options, job, workload, outcome, *desk);
    }
  } catch (...) {  // not in a step, whose failures the stage handles, but in writing results, say
    end_all_ranks(transport)(std::current_exception());
    throw;
  }
  if (not_verified) std::rethrow_exception(not_verified);
  if (outcome.verification && outcome.verification->differences > 0)
    throw Error(
        ExitStatus::failure,
        fmt::format("--verify: {} of {} tokens differ in one stage without offloading; please report this "
                    "with the command line",
                    outcome.verification->differences, outcome.verification->tokens));
}

}  // namespace

void bench(const BenchOptions& options, comm::Transport& transport) {
  try {
    run_bench(options, transport);
  } catch (const PeerError&) {  // ranks that do not answer cannot be waited for either
    end_all_ranks(transport)(std::current_exception());
    throw;
  }
}

}  // namespace optpipe::cli
