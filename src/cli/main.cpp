#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <new>

#include "cli/commands.hpp"
#include "cli/output_file.hpp"
#include "cli/stop_request.hpp"
#include "cli/version.hpp"
#include "optpipe/base/environment.hpp"
#include "optpipe/comm/mpi.hpp"
#include "optpipe/executor/pipeline.hpp"

namespace optpipe::cli {
namespace {

// Before MPI runs, the launcher's environment tells which rank may speak.
bool is_leader() { return launch_environment().rank.value_or(0) == 0; }

// A standard stream that came closed is opened as one that refuses all traffic; otherwise the next file to be
// opened, the disk tier's perhaps, would take its number and results would be written into it.
void hold_standard_streams() {
  for (int stream = STDIN_FILENO; stream <= STDERR_FILENO; ++stream)
    if (fcntl(stream, F_GETFD) < 0 && errno == EBADF)
      open("/dev/null", stream == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

void run_command(const Options& options) {
  const auto connect = [](const RunOptions& run) { return comm::connect(comm::Seconds(run.comm_timeout_s)); };
  if (options.quantize && is_leader()) quantize(*options.quantize);
  if (options.generate) {
    // Results are kept in a file. Before MPI runs, so that its threads leave the signals alone, too.
    if (!options.generate->output.empty()) listen_for_stop_requests(is_leader());
    generate(*options.generate, *connect(options.generate->run));
  }
  if (options.plan && is_leader()) plan(*options.plan);
  if (options.probe) probe(*options.probe, *connect(options.probe->run));
  if (options.bench) bench(*options.bench, *connect(options.bench->run));
}

// A file that may not grow any more (ulimit -f, quotas) is an error that a message tells, not the end of the
// process.
void take_size_limits_as_errors() { std::signal(SIGXFSZ, SIG_IGN); }

ExitStatus run(int argc, char** argv) {
  set_up_log(is_leader(), Verbosity::normal);
  const Parsed parsed = parse_command_line(argc, argv, version_text);
  if (parsed.printed) {
    if (is_leader()) OutputFile("", "").write(*parsed.printed);
    return ExitStatus::done;
  }
  set_up_log(is_leader(), parsed.options.verbosity);
  run_command(parsed.options);
  return ExitStatus::done;
}

}  // namespace
}  // namespace optpipe::cli

// One rank speaks and gives the run its status. Where the others had one too, a launcher that ends all ranks
// at the first failure could silence that rank before it has spoken.
int main(int argc, char** argv) {
  using namespace optpipe;
  constexpr int kNothingToSay = 0;
  cli::hold_standard_streams();
  cli::take_size_limits_as_errors();
  try {
    return static_cast<int>(cli::run(argc, argv));
  } catch (const executor::Reported&) {
    return kNothingToSay;
  } catch (const UsageError& error) {  // every rank has the same command line
    if (!cli::is_leader()) return kNothingToSay;
    log::error("{}", error.what());
    return static_cast<int>(error.status());
  } catch (const Error& error) {
    log::error("{}", error.what());
    return static_cast<int>(error.status());
  } catch (const std::bad_alloc&) {
    log::error("out of memory on the host: use smaller batches");
    return static_cast<int>(ExitStatus::does_not_fit);
  } catch (const std::exception& error) {
    log::error("{}", error.what());
    return static_cast<int>(ExitStatus::failure);
  }
}
