// The planned bytes are those of the program's buffers: two computations of the same thing, from layouts and
// from steps.
#include "optpipe/planner/stage_plan.hpp"

#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include "optpipe/schedule/validate.hpp"

namespace optpipe::planner {
namespace {

std::vector<memory::Round> ragged_rounds(const memory::Policy& policy, int ranks) {
  std::vector<memory::Sequence> sequences;
  for (std::int64_t i = 0; i < policy.prompts_in_flight(ranks); ++i)
    sequences.push_back({i, 3 + i * 7 % 20, 8});
  return memory::make_rounds(sequences, policy, ranks);
}

TEST(StagePlan, EqualsTheProgramsBuffers) {
  auto config = model::config_of_size("opt-125m");
  config.layers = 6;
  for (const auto& percent : std::vector<std::vector<double>>{{100, 0, 100, 0, 100, 0},
                                                              {20, 80, 0, 100, 0, 100},
                                                              {0, 0, 0, 0, 0, 0},
                                                              {50, 25, 50, 25, 50, 25},
                                                              {10, 90, 100, 0, 30, 70}}) {
    for (const int ranks : {1, 3}) {
      memory::Policy policy{.gpu_batch_size = 3, .gpu_batches = 2};
      memory::set_percent(policy, percent);
      const auto rounds = ragged_rounds(policy, ranks);
      const auto slices = model::balance_stages(config, ranks);
      for (const Backend backend : {Backend::cpu, Backend::cuda}) {
        for (int rank = 0; rank < ranks; ++rank) {
          SCOPED_TRACE(fmt::format("rank {} of {}, {}, percent {}", rank, ranks, name_of(backend),
                                   fmt::join(percent, " ")));
          const auto& slice = slices[static_cast<std::size_t>(rank)];
          const auto plan = plan_stage({config, slice, DType::f16, rounds, policy, ranks, backend});
          const auto kv = lay_out_kv(config, slice, rounds.front(), policy, plan.needs.kv);
          const auto program = schedule::build_contiguous(
              schedule_parameters(plan, slice, rounds.front(), kv, Rank(rank), ranks));
          const auto buffers = schedule::buffer_bytes(program);
          const auto total = [&](std::size_t tier) {
            return plan.use.weights[tier] + plan.use.kv[tier] + plan.use.hidden[tier] +
                   plan.use.workspace[tier];
          };
          // The program knows no resident weights and nothing that lives inside a step; a hidden state's home
          // on the device and on the host is one buffer to it.
          const Bytes inside = plan.use.workspace[0] + plan.use.workspace[1] - plan.needs.attention_bytes;
          EXPECT_EQ(buffers[0] + buffers[1] + plan.weights.bytes[0] + plan.weights.bytes[1] + inside,
                    total(0) + total(1));
          EXPECT_EQ(buffers[2] + plan.weights.bytes[2], total(2));
        }
      }
    }
  }
}

}  // namespace
}  // namespace optpipe::planner
