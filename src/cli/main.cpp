#include <fmt/format.h>

#include <cstdio>

#include "cli/commands.hpp"
#include "optpipe/base/environment.hpp"
#include "optpipe/comm/mpi.hpp"
#include "optpipe/executor/pipeline.hpp"

namespace optpipe::cli {
namespace {

// Before MPI runs, the launcher's environment tells which rank may speak.
bool is_leader() { return launch_environment().rank.value_or(0) == 0; }

ExitStatus run(int argc, char** argv) {
  set_up_log(is_leader(), Verbosity::normal);
  const Parsed parsed = parse_command_line(argc, argv);
  if (parsed.printed) {
    if (is_leader()) fmt::print("{}", *parsed.printed);
    return ExitStatus::done;
  }
  set_up_log(is_leader(), parsed.options.verbosity);
  const auto& options = *parsed.options.generate;
  const auto transport = comm::connect(comm::Seconds(options.run.comm_timeout_s));
  generate(options, *transport);
  return ExitStatus::done;
}

}  // namespace
}  // namespace optpipe::cli

int main(int argc, char** argv) {
  using namespace optpipe;
  try {
    return static_cast<int>(cli::run(argc, argv));
  } catch (const executor::Reported& error) {
    return static_cast<int>(error.status());
  } catch (const UsageError& error) {
    if (cli::is_leader()) log::error("{}", error.what());  // every rank has the same command line
    return static_cast<int>(error.status());
  } catch (const Error& error) {
    log::error("{}", error.what());
    return static_cast<int>(error.status());
  } catch (const std::exception& error) {
    log::error("{}", error.what());
    return static_cast<int>(ExitStatus::failure);
  }
}
