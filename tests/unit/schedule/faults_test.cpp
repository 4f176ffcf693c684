// Faults planted in sound programs must be found.
#include <gmock/gmock.h>

#include "optpipe/schedule/text.hpp"
#include "optpipe/schedule/validate.hpp"
#include "unit/schedule/programs.hpp"

namespace optpipe::schedule {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

const Shape kEverythingMoves{.ranks = 2,
                             .layers = 5,
                             .token_steps = 3,
                             .micro_batches = 2,
                             .gpu_batches = 2,
                             .layer_weights = kDisk,
                             .head_weights = kDisk,
                             .kv = kDisk,
                             .hidden = kDisk};

// The builder leaves out waits that others imply, so each one that is there must be missed when it goes.
TEST(Faults, EveryMissingWaitIsFound) {
  auto programs = build_all(kEverythingMoves);
  ASSERT_THAT(find_faults(programs), IsEmpty());
  int planted = 0;
  for (Program& program : programs) {
    for (Step& step : program.steps) {
      for (StepId& wait : step.after) {
        if (!wait.valid()) continue;
        const StepId kept = std::exchange(wait, StepId{});
        EXPECT_THAT(find_faults(program, 1), Not(IsEmpty())) << "without the wait for step " << kept.value;
        wait = kept;
        ++planted;
      }
    }
  }
  EXPECT_GT(planted, 300);
}

TEST(Faults, EveryMissingStepIsFound) {
  const auto programs = build_all(kEverythingMoves);
  for (std::size_t r = 0; r < programs.size(); ++r) {
    for (std::size_t i = 0; i < programs[r].steps.size(); ++i) {
      const StepKind kind = programs[r].steps[i].kind;
      auto broken = programs;
      auto& step = broken[r].steps[i];
      step.access_count = 0;  // the step stays in place, so that waits keep their meaning, but does nothing
      const bool last_write =
          kind == StepKind::accept && step.token_step.value == 2;  // its result is used by no step
      if (last_write) continue;
      EXPECT_THAT(find_faults(broken, 1), Not(IsEmpty()))
          << to_text(programs[r], StepId(static_cast<std::int64_t>(i)));
    }
  }
}

// A buffer reused too early: the wrong slot is refilled while its old contents are still needed.
TEST(Faults, SlotRefilledTooEarlyIsFound) {
  auto program = build_all({.token_steps = 2, .gpu_batches = 2, .layer_weights = kHost}).front();
  std::vector<BufferId> slots;
  for (std::size_t b = 0; b < program.buffers.size(); ++b)
    if (program.buffers[b].kind == BufferKind::weight_slot)
      slots.push_back(BufferId(static_cast<std::int64_t>(b)));
  ASSERT_EQ(slots.size(), 2u);
  int planted = 0;
  for (Step& step : program.steps) {
    if (step.kind != StepKind::load_weights) continue;
    BufferId& slot = step.access_list[0].buffer;
    const BufferId kept = std::exchange(slot, slot == slots[0] ? slots[1] : slots[0]);
    EXPECT_THAT(find_faults(program, 1), Not(IsEmpty()));
    slot = kept;
    ++planted;
  }
  EXPECT_EQ(planted, 24);
}

TEST(Faults, TwoKvSlotsSwappedAreFound) {
  auto program = build_all({.token_steps = 3, .gpu_batches = 3, .kv = kHost}).front();
  const auto is_slot = [&](const Access& access) {
    return program.buffer(access.buffer).kind == BufferKind::kv_slot;
  };
  for (Step& step : program.steps) {
    if (step.kind != StepKind::load_kv) continue;
    auto access = std::ranges::find_if(step.access_list, is_slot);
    const Access kept = *access;
    for (std::size_t b = 0; b < program.buffers.size(); ++b) {
      const BufferId other(static_cast<std::int64_t>(b));
      if (program.buffers[b].kind != BufferKind::kv_slot || other == kept.buffer) continue;
      access->buffer = other;
      EXPECT_THAT(find_faults(program, 1), Not(IsEmpty()));
    }
    *access = kept;
  }
}

TEST(Faults, SendWithoutReceiveIsFound) {
  const auto programs = build_all({.ranks = 3, .micro_batches = 3});
  for (const auto& [rank, kind] : {std::pair{1, StepKind::recv_hidden},
                                   {0, StepKind::recv_tokens},
                                   {0, StepKind::send_hidden},
                                   {2, StepKind::send_tokens}}) {
    for (const std::size_t which : {0, 4, 8}) {
      auto broken = programs;
      auto& steps = broken[static_cast<std::size_t>(rank)].steps;
      std::size_t seen = 0;
      for (Step& step : steps)
        if (step.kind == kind && seen++ == which) {
          step.kind = kind == StepKind::recv_hidden || kind == StepKind::recv_tokens ? StepKind::read_weights
                                                                                     : StepKind::store_kv;
          step.queue = queue_of(step.kind);
        }
      EXPECT_THAT(find_faults(broken, 10000),
                  Contains(testing::AnyOf(HasSubstr("no receive"), HasSubstr("no send"),
                                          HasSubstr("sends at this place"))))
          << name_of(kind) << " number " << which << " of rank " << rank;
    }
  }
}

TEST(Faults, MessagesOutOfOrderAreFound) {
  auto programs = build_all({.ranks = 2, .micro_batches = 2});
  std::vector<Step*> sends;
  for (Step& step : programs[0].steps)
    if (step.kind == StepKind::send_hidden) sends.push_back(&step);
  std::swap(sends[0]->micro_batch, sends[1]->micro_batch);
  EXPECT_THAT(find_faults(programs), Contains(HasSubstr("sends at this place")));
}

// Two ranks that each send only after they have received.
TEST(Faults, CycleAcrossRanksIsFound) {
  auto programs = build_all({.ranks = 2, .token_steps = 2});
  StepId recv_tokens;
  auto& steps = programs[0].steps;
  for (std::size_t i = 0; i < steps.size(); ++i)
    if (steps[i].kind == StepKind::recv_tokens && !recv_tokens.valid())
      recv_tokens = StepId(static_cast<std::int64_t>(i));
  Step wait = steps[static_cast<std::size_t>(recv_tokens.value)];
  const auto send = std::ranges::find(steps, StepKind::send_hidden, &Step::kind);
  steps.erase(steps.begin() + recv_tokens.value);
  wait.after.fill(StepId{});
  steps.insert(send, wait);
  const StepId moved(send - steps.begin());
  for (std::size_t i = 0; i < steps.size(); ++i)
    for (StepId& id : steps[i].after)  // renumber: steps between the two places have moved by one
      if (id.valid() && id >= moved && id <= recv_tokens)
        id = id == recv_tokens ? moved : StepId(id.value + 1);
  const auto new_send = std::ranges::find(steps, StepKind::send_hidden, &Step::kind);
  new_send->after[static_cast<std::size_t>(Queue::recv)] = moved;
  EXPECT_THAT(find_faults(programs), Contains(HasSubstr("wait for each other")));
}

TEST(Faults, WaitForALaterStepIsFound) {
  auto program = build_all({.layer_weights = kHost}).front();
  for (std::size_t i = 0; i < program.steps.size(); ++i) {
    if (program.steps[i].kind != StepKind::load_weights) continue;
    for (std::size_t later = i + 1; later < program.steps.size(); ++later)
      if (program.steps[later].queue == Queue::compute) {
        program.steps[i].after[static_cast<std::size_t>(Queue::compute)] =
            StepId(static_cast<std::int64_t>(later));
        break;
      }
    break;
  }
  EXPECT_THAT(find_faults(program), Contains(HasSubstr("no earlier step")));
}

}  // namespace
}  // namespace optpipe::schedule
