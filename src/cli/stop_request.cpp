#include "cli/stop_request.hpp"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <thread>

#include "optpipe/base/error.hpp"

namespace optpipe::cli {
namespace {

constexpr std::array kStops{SIGUSR1, SIGTERM};

// Written by the listener, or by a handler on a thread of a library; read on others.
std::atomic<int> received = 0;
static_assert(std::atomic<int>::is_always_lock_free);  // as a handler's must be

void note(int signal) { received.store(signal, std::memory_order_relaxed); }

void handle(int signal, void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = static_cast<int>(SA_RESTART | SA_RESETHAND);
  if (handler == SIG_IGN || handler == SIG_DFL) action.sa_flags = 0;
  if (sigaction(signal, &action, nullptr) != 0) throw_errno("sigaction");
}

void mask(int how, const sigset_t& signals) {
  if (const int error = pthread_sigmask(how, &signals, nullptr); error != 0) {
    errno = error;
    throw_errno("pthread_sigmask");
  }
}

// Waits for the first signal and notes it, then lets the next one do what signals do.
void listen(const sigset_t& stops) {
  int signal = 0;
  while (sigwait(&stops, &signal) != 0) continue;
  note(signal);
  for (const int each : kStops) handle(each, SIG_DFL);
  mask(SIG_UNBLOCK, stops);
  for (;;) pause();
}

}  // namespace

void listen_for_stop_requests(bool leader) {
  if (!leader) return handle(SIGUSR1, SIG_IGN);
  sigset_t stops;
  sigemptyset(&stops);
  for (const int each : kStops) {
    sigaddset(&stops, each);
    handle(each, note);  // for threads that have begun before
  }
  // This thread and those that it starts leave the signals to one that has nothing else to do: it notices
  // them at once, whatever the others do.
  mask(SIG_BLOCK, stops);
  std::thread(listen, stops).detach();  // until the process ends
}

std::string_view stop_request() {
  const int signal = received.load(std::memory_order_relaxed);
  return signal == SIGTERM ? "SIGTERM" : signal == SIGUSR1 ? "SIGUSR1" : "";
}

}  // namespace optpipe::cli
