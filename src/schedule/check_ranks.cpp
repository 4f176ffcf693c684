// Checks across ranks: messages pair up, and nobody waits for ever.

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>

#include "optpipe/schedule/links.hpp"
#include "optpipe/schedule/text.hpp"
#include "schedule/faults.hpp"

namespace optpipe::schedule {
namespace {

struct Message {
  std::int32_t token_step, micro_batch, gpu_batch, part;
  std::int32_t layer;  // that takes it next; tokens: none
  bool operator==(const Message&) const = default;
};

std::vector<StepId> steps_of(const Program& program, StepKind kind) {
  std::vector<StepId> ids;
  for (std::size_t i = 0; i < program.steps.size(); ++i)
    if (program.steps[i].kind == kind) ids.push_back(StepId(static_cast<std::int64_t>(i)));
  return ids;
}

Message message(const Step& step) {
  std::int32_t layer = -1;
  if (step.kind == StepKind::send_hidden) layer = step.layer.value + 1;
  if (step.kind == StepKind::recv_hidden) layer = step.layer.value;
  return {step.token_step.value, step.micro_batch.value, step.gpu_batch.value, step.part, layer};
}

}  // namespace

void check_messages(std::span<const Program> programs, Faults& faults) {
  for (const Link& link : links(programs)) {
    const Program &sender = programs[link.from], &receiver = programs[link.to];
    const auto sends = steps_of(sender, link.send), recvs = steps_of(receiver, link.recv);
    for (std::size_t i = 0; i < std::max(sends.size(), recvs.size()) && !faults.full(); ++i) {
      if (i >= recvs.size())
        faults.add(sender, sends[i], fmt::format("rank {} has no receive for it", link.to));
      else if (i >= sends.size())
        faults.add(receiver, recvs[i], fmt::format("rank {} has no send for it", link.from));
      else if (!(message(sender.step(sends[i])) == message(receiver.step(recvs[i]))))
        return faults.add(
            receiver, recvs[i],
            fmt::format("rank {} sends at this place: {}", link.from, to_text(sender, sends[i])));
      else
        continue;
      return;  // what follows on this link is out of step as well
    }
  }
}

namespace {

// Interpreter without work: each queue runs its steps in order as soon as their waits are over; a send and
// its receive are over together, when both are due.
class ProgressCheck {
 public:
  explicit ProgressCheck(std::span<const Program> programs)
      : programs_(programs), links_(links(programs)), ranks_(programs.size()) {
    for (std::size_t r = 0; r < programs.size(); ++r) {
      ranks_[r].done.assign(programs[r].steps.size(), false);
      for (std::size_t i = 0; i < programs[r].steps.size(); ++i)
        ranks_[r].queues[static_cast<std::size_t>(programs[r].steps[i].queue)].push_back(
            StepId(static_cast<std::int64_t>(i)));
    }
  }

  void run() {
    for (bool moved = true; moved;) {
      moved = false;
      for (std::size_t r = 0; r < ranks_.size(); ++r)
        for (std::size_t q = 0; q < kQueues; ++q)
          while (advance(r, q)) moved = true;
      for (const Link& link : links_)
        while (exchange(link)) moved = true;
    }
  }

  std::optional<StepId> stuck(std::size_t rank) const {
    for (std::size_t q = 0; q < kQueues; ++q)
      if (const auto id = head(rank, q)) return id;
    return std::nullopt;
  }

 private:
  struct State {
    std::array<std::vector<StepId>, kQueues> queues;
    std::array<std::size_t, kQueues> position{};
    std::vector<bool> done;
  };

  std::optional<StepId> head(std::size_t rank, std::size_t queue) const {
    const State& state = ranks_[rank];
    if (state.position[queue] >= state.queues[queue].size()) return std::nullopt;
    return state.queues[queue][state.position[queue]];
  }
  bool is_due(std::size_t rank, StepId id) const {
    return std::ranges::all_of(programs_[rank].step(id).after, [&](StepId earlier) {
      return !earlier.valid() || ranks_[rank].done[static_cast<std::size_t>(earlier.value)];
    });
  }
  void finish(std::size_t rank, StepId id) {
    ranks_[rank].done[static_cast<std::size_t>(id.value)] = true;
    ++ranks_[rank].position[static_cast<std::size_t>(programs_[rank].step(id).queue)];
  }
  bool advance(std::size_t rank, std::size_t queue) {
    const auto id = head(rank, queue);
    if (!id || !is_due(rank, *id)) return false;
    const StepKind kind = programs_[rank].step(*id).kind;
    if (is_send(kind) || is_recv(kind)) return false;
    finish(rank, *id);
    return true;
  }
  bool exchange(const Link& link) {
    const auto send = head(link.from, static_cast<std::size_t>(queue_of(link.send)));
    const auto recv = head(link.to, static_cast<std::size_t>(queue_of(link.recv)));
    const bool both = send && recv && programs_[link.from].step(*send).kind == link.send &&
                      programs_[link.to].step(*recv).kind == link.recv && is_due(link.from, *send) &&
                      is_due(link.to, *recv);
    if (both) finish(link.from, *send), finish(link.to, *recv);
    return both;
  }

  std::span<const Program> programs_;
  std::vector<Link> links_;
  std::vector<State> ranks_;
};

}  // namespace

void check_progress(std::span<const Program> programs, Faults& faults) {
  ProgressCheck check(programs);
  check.run();
  for (std::size_t r = 0; r < programs.size(); ++r)
    if (const auto id = check.stuck(r))
      faults.add(programs[r], *id, "is never reached: the ranks wait for each other");
}

}  // namespace optpipe::schedule
