#include <fmt/format.h>

#include <algorithm>

#include "schedule/dependencies.hpp"
#include "schedule/faults.hpp"

namespace optpipe::schedule {
namespace {

struct Uses {
  StepId writer;
  std::vector<StepId> readers;  // since the last write
};

bool is_before(StepId earlier, const Step& step, const Clock& complete) {
  return complete[static_cast<std::size_t>(step.queue)] >= earlier;
}

}  // namespace

// Independent of the tracker that made the waits: computes what is surely complete when a step starts, and
// looks up every conflicting earlier access there.
void check_order(const Program& program, Faults& faults) {
  std::vector<Clock> done(program.steps.size());  // complete once the step is
  Clock newest{};
  std::vector<Uses> uses(program.buffers.size());
  for (std::size_t i = 0; i < program.steps.size() && !faults.full(); ++i) {
    const StepId id(static_cast<std::int64_t>(i));
    const Step& step = program.steps[i];
    const auto own = static_cast<std::size_t>(step.queue);
    Clock complete{};
    if (newest[own].valid()) complete = done[static_cast<std::size_t>(newest[own].value)];
    for (std::size_t q = 0; q < kQueues; ++q) {
      if (!step.after[q].valid()) continue;
      if (step.after[q] >= id || static_cast<std::size_t>(program.step(step.after[q]).queue) != q) {
        faults.add(program, id,
                   fmt::format("waits for step {}, which is no earlier step of queue {}", step.after[q].value,
                               name_of(static_cast<Queue>(q))));
        continue;
      }
      join(complete, done[static_cast<std::size_t>(step.after[q].value)]);
    }
    const auto check = [&](StepId earlier, BufferId buffer, const char* did) {
      if (earlier.valid() && !is_before(earlier, program.step(earlier), complete))
        faults.add(program, id,
                   fmt::format("is not ordered after step {}, which {} {}[{}]", earlier.value, did,
                               name_of(program.buffer(buffer).kind), program.buffer(buffer).index));
    };
    for (const Access& access : step.accesses()) {
      const Uses& before = uses[static_cast<std::size_t>(access.buffer.value)];
      check(before.writer, access.buffer, "writes");
      if (!access.write) continue;
      for (const StepId reader : before.readers) check(reader, access.buffer, "reads");
    }
    for (const Access& access : step.accesses()) {
      Uses& now = uses[static_cast<std::size_t>(access.buffer.value)];
      if (access.write)
        now = {id, {}};
      else
        now.readers.push_back(id);
    }
    complete[own] = id;
    done[i] = complete;
    newest[own] = id;
  }
}

}  // namespace optpipe::schedule
