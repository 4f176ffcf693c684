// Runs a function in a child process, for tests of what changes a whole process.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <functional>

namespace optpipe::test {

// What `action` returns (0 to 255) in a child process; 255 where it throws, -1 where a signal ended it.
inline int run_in_child(const std::function<int()>& action) {
  const pid_t child = fork();
  if (child == 0) {
    int status = 255;
    try {
      status = action();
    } catch (...) {  // the status says so
    }
    _exit(status);
  }
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status)) return -1;
  return WEXITSTATUS(status);
}

}  // namespace optpipe::test
