// The program's commands. Each is called on every rank and throws Error.
#pragma once

#include "cli/options.hpp"
#include "optpipe/comm/transport.hpp"

namespace optpipe::cli {

// On one rank, the first.
void quantize(const QuantizeOptions& options);
void generate(const GenerateOptions& options, comm::Transport& transport);
// On one rank, whatever the number of ranks that it plans for.
void plan(const PlanOptions& options);
void probe(const ProbeOptions& options, comm::Transport& transport);
void bench(const BenchOptions& options, comm::Transport& transport);

}  // namespace optpipe::cli
