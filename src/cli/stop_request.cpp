#include "cli/stop_request.hpp"

#include <signal.h>

#include <csignal>

#include "optpipe/base/error.hpp"

namespace optpipe::cli {
namespace {

volatile std::sig_atomic_t received = 0;

void note(int signal) { received = signal; }

void handle(int signal, void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = static_cast<int>(SA_RESTART | SA_RESETHAND);
  if (handler == SIG_IGN) action.sa_flags = 0;
  if (sigaction(signal, &action, nullptr) != 0) throw_errno("sigaction");
}

}  // namespace

void listen_for_stop_requests(bool leader) {
  handle(SIGUSR1, leader ? note : SIG_IGN);
  if (leader) handle(SIGTERM, note);
}

std::string_view stop_request() {
  return received == SIGTERM ? "SIGTERM" : received == SIGUSR1 ? "SIGUSR1" : "";
}

}  // namespace optpipe::cli
