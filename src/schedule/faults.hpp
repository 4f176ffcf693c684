// The parts of find_faults().
#pragma once

#include <span>
#include <string>
#include <vector>

#include "optpipe/schedule/program.hpp"

namespace optpipe::schedule {

class Faults {
 public:
  explicit Faults(std::size_t most) : most_(most) {}
  void add(const Program& program, StepId step, const std::string& what);
  void add(const std::string& what);
  bool full() const { return lines_.size() >= most_; }
  std::vector<std::string> take() && { return std::move(lines_); }

 private:
  std::size_t most_;
  std::vector<std::string> lines_;
};

void check_order(const Program& program, Faults& faults);     // waits and conflicting accesses
void check_contents(const Program& program, Faults& faults);  // what each step finds in its buffers
void check_messages(std::span<const Program> programs, Faults& faults);
void check_progress(std::span<const Program> programs, Faults& faults);

}  // namespace optpipe::schedule
