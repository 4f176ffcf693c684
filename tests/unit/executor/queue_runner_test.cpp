#include "executor/stage/queue_runner.hpp"

#include <gmock/gmock.h>

#include <atomic>
#include <mutex>
#include <thread>

#include "unit/schedule/programs.hpp"

namespace optpipe::executor {
namespace {

using schedule::Program;
using schedule::Step;

// Checks at every step that what it waits for has been done, and keeps the order.
class Recorder : public StepHandler {
 public:
  explicit Recorder(const Program& program) : program_(program), done_(program.steps.size()) {}

  void run(const Program&, const Step& step) override {
    const auto id = &step - program_.steps.data();
    for (const StepId awaited : step.after)
      if (awaited.valid() && !done_[static_cast<std::size_t>(awaited.value)]) ++violations;
    if (id % 7 == 3) std::this_thread::yield();
    done_[static_cast<std::size_t>(id)] = true;
    ++steps;
  }

  std::atomic<int> violations{0};
  std::atomic<std::size_t> steps{0};

 private:
  const Program& program_;
  std::vector<std::atomic<bool>> done_;
};

Program busy_program() {
  const schedule::Offload disk{true, true};
  return schedule::build_all({.ranks = 1,
                              .token_steps = 6,
                              .gpu_batches = 3,
                              .layer_weights = disk,
                              .head_weights = disk,
                              .kv = disk,
                              .hidden = disk})
      .front();
}

TEST(QueueRunner, RunsEveryStepAfterWhatItWaitsFor) {
  const Program program = busy_program();
  for (const bool overlap : {true, false}) {
    for (int round = 0; round < 20; ++round) {
      Recorder recorder(program);
      run_program(program, recorder, overlap, {});
      EXPECT_EQ(recorder.violations, 0);
      EXPECT_EQ(recorder.steps, program.steps.size());
    }
  }
}

// Fails at one step.
class Saboteur : public StepHandler {
 public:
  explicit Saboteur(std::size_t victim) : victim_(victim) {}
  void run(const Program& program, const Step& step) override {
    if (&step == &program.steps[victim_]) throw std::runtime_error("the disk is full");
  }

 private:
  std::size_t victim_;
};

TEST(QueueRunner, TheFirstFailureEndsTheRun) {
  const Program program = busy_program();
  for (std::size_t victim = 0; victim < program.steps.size(); victim += 37) {
    for (const bool overlap : {true, false}) {
      Saboteur saboteur(victim);
      int told = 0;
      EXPECT_THROW(run_program(program, saboteur, overlap, [&](std::exception_ptr) { ++told; }),
                   std::runtime_error);
      EXPECT_EQ(told, 1);
    }
  }
}

}  // namespace
}  // namespace optpipe::executor
