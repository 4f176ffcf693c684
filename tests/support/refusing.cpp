// refusing COMMAND ...: runs the command on a system that refuses what containers refuse. Exit status 77
// where no filter can be installed, 127 where the command cannot be started.
#include <unistd.h>

#include <cstdio>

#include "support/refusal.hpp"

int main(int argc, char** argv) {
  constexpr int kNoFilter = 77, kNoCommand = 127;
  if (argc < 2) return kNoCommand;
  if (!optpipe::test::refuse_what_containers_refuse()) return kNoFilter;
  execvp(argv[1], argv + 1);
  std::perror(argv[1]);
  return kNoCommand;
}
