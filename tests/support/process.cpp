#include "support/process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <stdexcept>
#include <thread>

namespace optpipe::test {
namespace {

constexpr int kPatience = kSanitized ? 4 : 1;

// A temporary file without a name: output of any size, no pipe to fill up.
int open_temporary() {
  char name[] = "/tmp/optpipe-test-XXXXXX";
  const int descriptor = mkostemp(name, O_CLOEXEC);
  if (descriptor < 0) throw std::runtime_error("no temporary file");
  unlink(name);
  return descriptor;
}

std::string read_all(int descriptor) {
  std::string text;
  char buffer[4096];
  lseek(descriptor, 0, SEEK_SET);
  for (ssize_t count; (count = read(descriptor, buffer, sizeof buffer)) > 0;)
    text.append(buffer, static_cast<std::size_t>(count));
  close(descriptor);
  return text;
}

int wait_for(pid_t child, int seconds) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(kPatience * seconds);
  int status = 0;
  while (waitpid(child, &status, WNOHANG) == 0) {
    if (std::chrono::steady_clock::now() > deadline) {
      kill(-child, SIGKILL);
      waitpid(child, &status, 0);
      return 124;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace

Finished run_process(const std::vector<std::string>& arguments, const std::string& input,
                     const std::vector<std::string>& environment, int seconds) {
  const int in = open_temporary(), out = open_temporary(), err = open_temporary();
  if (write(in, input.data(), input.size()) != static_cast<ssize_t>(input.size()))
    throw std::runtime_error("short write");
  lseek(in, 0, SEEK_SET);
  std::vector<char*> argv;
  for (const auto& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  const pid_t child = fork();
  if (child == 0) {
    setpgid(0, 0);
    dup2(in, STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
    for (const auto& variable : environment) putenv(const_cast<char*>(variable.c_str()));
    execvp(argv[0], argv.data());
    _exit(127);
  }
  if (child < 0) throw std::runtime_error("fork failed");
  Finished finished;
  finished.status = wait_for(child, seconds);
  close(in);
  finished.out = read_all(out);
  finished.err = read_all(err);
  return finished;
}

}  // namespace optpipe::test
