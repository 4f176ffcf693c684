// The options of the program, a group a concern: each is defined once, and commands take the groups they
// need.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "cli/options.hpp"

namespace optpipe::cli {

inline constexpr const char* kPolicyGroup = "Policy: what lives where, and how prompts are grouped";
inline constexpr const char* kSamplingGroup = "Choice of tokens";

void add_model_options(CLI::App& app, ModelOptions& o);
void add_policy_options(CLI::App& app, RunOptions& o);
void check_policy(RunOptions& o);  // and takes the six percentages into the policy; throws UsageError
void add_offload_directory(CLI::App& app, RunOptions& o, const std::string& group);
void add_show_memory(CLI::App& app, RunOptions& o, const std::string& group);
void add_budget_options(CLI::App& app, Budgets& o);
void add_compression_options(CLI::App& app, memory::Policy& policy);
void add_run_options(CLI::App& app, RunOptions& o);
void add_sampling_options(CLI::App& app, kernels::SamplingOptions& o);

// Of a command: all its options, and what must hold among them. check() throws UsageError.
void add_generate_options(CLI::App& app, GenerateOptions& o);
void check(GenerateOptions& o);
void add_plan_options(CLI::App& app, PlanOptions& o);
void check(PlanOptions& o);
void add_quantize_options(CLI::App& app, QuantizeOptions& o);
void check(const QuantizeOptions& o);
void add_probe_options(CLI::App& app, ProbeOptions& o);
void add_bench_options(CLI::App& app, BenchOptions& o);
void check(BenchOptions& o);

// For CLI11: what is wrong with a whole number of 64 bits, or nothing. Its own conversion would take -1 and
// overflow silently.
std::string check_seed(const std::string& text);

}  // namespace optpipe::cli
