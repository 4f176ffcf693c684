// A run under way, for tests that disturb it.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <future>

#include "cli/program.hpp"

namespace optpipe::test {

class Running {
 public:
  // Starts optpipe as run_optpipe() does. `mark` is a text on its command line that no other run has.
  Running(const Words& words, const Launch& launch, std::string mark);

  // Until that many prompts are finished and journaled for `output`, or the run has ended, or 60 s have
  // passed.
  void wait_for_prompts(const std::string& output, int prompts);

  pid_t process(int rank) const;  // -1: of a run that no launcher started. 0: there is none
  pid_t launcher() const;         // mpirun; 0: there is none
  void send(pid_t process, int signal);

  Finished wait();                         // for the end
  double seconds_since_signal() const;     // to the end
  std::vector<pid_t> left_behind() const;  // processes of the run that still exist
  bool has_ended() const;

 private:
  using Clock = std::chrono::steady_clock;

  std::string mark_;
  std::future<Finished> run_;
  Clock::time_point signalled_{}, ended_{};
};

// The oldest process whose command line holds all of `parts`; 0: there is none.
pid_t process_with(const Words& parts);

// Prompts in the journal beside `output`.
int journaled_prompts(const std::string& output);

}  // namespace optpipe::test
