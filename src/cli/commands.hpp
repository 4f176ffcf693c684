// The program's commands. Each is called on every rank and throws Error.
#pragma once

#include "cli/options.hpp"
#include "optpipe/comm/transport.hpp"

namespace optpipe::cli {

void generate(const GenerateOptions& options, comm::Transport& transport);
void probe(const ProbeOptions& options, comm::Transport& transport);
void bench(const BenchOptions& options, comm::Transport& transport);

}  // namespace optpipe::cli
