#include <fmt/format.h>
#include <fmt/ranges.h>

#include <nlohmann/json.hpp>

#include "cli/bench/bench_desk.hpp"
#include "cli/bench/figures.hpp"
#include "cli/bench/verify.hpp"
#include "cli/binding_report.hpp"
#include "cli/commands.hpp"
#include "cli/end_all_ranks.hpp"
#include "cli/place_attention.hpp"
#include "cli/report.hpp"
#include "optpipe/comm/link_speed.hpp"
#include "optpipe/executor/pipeline.hpp"
#include "optpipe/planner/prefill.hpp"

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

// One benchmark, from the command line to its last line. Members marked so are filled on rank 0 only.
class Benchmark {
 public:
  // Collective: all that can be wrong with the command line, before memory is taken.
  Benchmark(const BenchOptions& options, comm::Transport& transport)
      : options_(options), transport_(transport) {
    executor::agree(transport_, [&] {
      check_ranks(options_, transport_);
      job_ = prepare_job(options_.model, options_.run, transport_);
      options_.run.policy = with_weight_format(job_, options_.run.policy, transport_);
      workload_ = plan_workload(options_, job_.config, transport_.size());
      check_machine(options_, job_);
      if (transport_.is_first()) desk_.emplace(options_, job_.config);
    });
    bind_job(job_, options_.run, transport_);
    options_.run.policy = place_attention(job_, options_.run.policy, {workload_.round}, transport_);
    options_.run.policy =
        planner::settle_prefill(options_.run.policy, {workload_.round}, transport_.size(), job_.config.dtype,
                                job_.gpu ? planner::Backend::cuda : planner::Backend::cpu);
    outcome_ = begin_outcome(options_, job_, workload_);
    if (desk_)
      desk_->print(2, size_lines(outcome_, options_.run.policy.micro_batches_for(transport_.size()),
                                 hidden_dtype(job_)));
  }

  void run() {
    RoundRunner runner(options_, job_, workload_, transport_, desk_ ? &desk_->prompts() : nullptr);
    options_.run.policy = runner.ready().policy;
    std::exception_ptr not_verified;
    try {
      if (desk_) desk_->begin();
      const RoundFigures measured = measure(runner);
      gather(runner, measured);
      runner.release();
      if (options_.verify && desk_) not_verified = check_tokens(*measured.tokens);
      transport_.barrier();  // the others wait for the verification
      if (desk_) write(*measured.tokens);
    } catch (...) {  // not in a step, whose failures the stage handles, but in writing results, say
      end_all_ranks(transport_)(std::current_exception());
      throw;
    }
    if (not_verified) std::rethrow_exception(not_verified);
    if (outcome_.verification && outcome_.verification->differences > 0)
      throw Error(
          ExitStatus::failure,
          fmt::format("--verify: {} of {} tokens differ in one stage without offloading; please report this "
                      "with the command line",
                      outcome_.verification->differences, outcome_.verification->tokens));
  }

 private:
  RoundFigures measure(RoundRunner& runner) {
    if (!options_.json.empty()) outcome_.links = comm::measure_links(transport_);
    runner.warm_up();
    RoundFigures measured = runner.run(workload_.run_len, "benchmark");
    if (desk_) count(outcome_, workload_, measured, job_.slices.size());
    if (!options_.validate_projection) return measured;
    const auto check = [&](const RoundFigures& whole) {
      if (desk_) outcome_.validation = validate_projection(outcome_, workload_, whole, job_.slices.size());
    };
    if (workload_.is_cut())
      check(runner.run(workload_.gen_len, "benchmark at full length"));
    else
      check(measured);
    return measured;
  }

  // What every rank has to say, to rank 0.
  void gather(RoundRunner& runner, const RoundFigures& measured) {
    outcome_.use = gather_use(measured.statistics, transport_);
    outcome_.shares = runner.gather_shares(measured);
    outcome_.bindings = runner.bindings();
    outcome_.memory = runner.gather_memory();
    if (desk_) {
      outcome_.sizes.peak = peak_memory(outcome_);
      outcome_.resources = find_resources(options_, job_, runner.ready(), workload_, outcome_.use,
                                          measured.kv_share, transport_);
    }
    runner.write_trace([&](std::string_view text) { desk_->write_trace(text); });
  }

  // What kept the check from being made, if anything: what was measured is worth printing all the same.
  std::exception_ptr check_tokens(const TokenClock& measured) {
    try {
      outcome_.verification = verify(options_, workload_, desk_->prompts(), measured);
    } catch (const Error&) {
      return std::current_exception();
    }
    return nullptr;
  }

  void write(const TokenClock& tokens) {
    desk_->print_texts(tokens);
    const std::string lines = metrics::result_lines(outcome_.sizes, outcome_.result);
    desk_->print(2,
                 details(outcome_, options_.run.policy.kv_format_name(), options_.debug_mode == "breakdown"));
    if (options_.run.show_memory)
      for (const auto& line : metrics::to_table(outcome_.memory)) desk_->print(1, line + "\n");
    desk_->print(1, lines);
    desk_->write_log(lines);
    auto report = make_report(options_, job_.config, workload_, outcome_);
    report["binding"] = binding_json(options_.run.bind, outcome_.bindings);
    desk_->write_report(report);
    desk_->finish();
  }

  BenchOptions options_;
  comm::Transport& transport_;
  Job job_;
  Workload workload_;
  std::optional<BenchDesk> desk_;  // on rank 0
  Outcome outcome_;                // on rank 0
};

}  // namespace

void bench(const BenchOptions& options, comm::Transport& transport) {
  try {
    Benchmark(options, transport).run();
  } catch (const PeerError&) {  // ranks that do not answer cannot be waited for either
    end_all_ranks(transport)(std::current_exception());
    throw;
  } catch (const SystemError&) {  // where ranks have agreed on nothing, the others wait for this one
    end_all_ranks(transport)(std::current_exception());
    throw;
  }
}

}  // namespace optpipe::cli
