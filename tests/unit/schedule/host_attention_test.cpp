// Decode with attention on CPU cores: sound programs, in which the cores attend while the device computes.
#include <gmock/gmock.h>

#include "optpipe/schedule/text.hpp"
#include "optpipe/schedule/validate.hpp"
#include "unit/schedule/programs.hpp"

namespace optpipe::schedule {
namespace {

using ::testing::IsEmpty;
using ::testing::Not;

constexpr HostAttention kAll{.any = true, .kv_streams = false}, kShare{.any = true, .kv_streams = true};

TEST(HostAttention, NoFaultsForAnyShape) {
  for (const int ranks : {1, 3})
    for (const std::int64_t micro_batches : {1, 2})
      for (const std::int64_t gpu_batches : {1, 2, 5})
        for (const Offload weights : {kResident, kHost, kDisk})
          for (const Offload hidden : {kResident, kHost, kDisk})
            for (const int slots : {1, 2, 3})
              for (const int in_flight : {1, 3})
                for (const bool streams : {false, true}) {
                  const auto programs =
                      build_all({ranks,
                                 4,
                                 3,
                                 micro_batches,
                                 gpu_batches,
                                 weights,
                                 weights,
                                 streams && hidden.disk ? kDisk : kHost,
                                 hidden,
                                 slots,
                                 {.any = true, .kv_streams = streams, .in_flight = in_flight}});
                  ASSERT_THAT(find_faults(programs), IsEmpty())
                      << ranks << " ranks, " << micro_batches << " micro-batches, " << gpu_batches
                      << " GPU batches, weights " << weights.any << weights.disk << ", hidden " << hidden.any
                      << hidden.disk << ", " << slots << " slots, " << in_flight << " in flight, streams "
                      << streams;
                }
}

const Shape kEverythingMoves{.ranks = 2,
                             .layers = 4,
                             .token_steps = 3,
                             .micro_batches = 2,
                             .gpu_batches = 3,
                             .layer_weights = kDisk,
                             .head_weights = kDisk,
                             .kv = kDisk,
                             .hidden = kDisk,
                             .weight_slots = 3,
                             .host_attention = kShare};

TEST(HostAttention, EveryMissingWaitIsFound) {
  auto programs = build_all(kEverythingMoves);
  ASSERT_THAT(find_faults(programs), IsEmpty());
  for (Program& program : programs) {
    for (Step& step : program.steps) {
      for (StepId& wait : step.after) {
        if (!wait.valid()) continue;
        const StepId kept = std::exchange(wait, StepId{});
        EXPECT_THAT(find_faults(program, 1), Not(IsEmpty())) << "without the wait for step " << kept.value;
        wait = kept;
      }
    }
  }
}

TEST(HostAttention, EveryMissingStepIsFound) {
  for (const HostAttention& attention : {kAll, kShare}) {
    auto programs = build_all({.token_steps = 3, .gpu_batches = 2, .kv = kHost, .host_attention = attention});
    int planted = 0;
    for (Step& step : programs.front().steps) {
      if (step.kind == StepKind::accept && step.token_step.value == 2)
        continue;  // its result is used by none
      const auto kept = std::exchange(step.access_count, std::uint8_t{0});
      EXPECT_THAT(find_faults(programs, 1), Not(IsEmpty()))
          << to_text(programs.front(), StepId(&step - programs.front().steps.data()));
      step.access_count = kept;
      ++planted;
    }
    EXPECT_GT(planted, 100);
  }
}

TEST(HostAttention, PromptsAreAttendedOnTheDevice) {
  const auto program =
      build_all({.token_steps = 3, .gpu_batches = 2, .kv = kHost, .host_attention = kAll}).front();
  std::array<int, 3> on_host{}, loads{};
  for (const Step& step : program.steps) {
    if (step.kind == StepKind::attend_host) ++on_host[static_cast<std::size_t>(step.token_step.value)];
    if (step.kind == StepKind::load_kv) ++loads[static_cast<std::size_t>(step.token_step.value)];
  }
  EXPECT_THAT(on_host, ::testing::ElementsAre(0, 6 * 2, 6 * 2));
  EXPECT_THAT(loads, ::testing::ElementsAre(0, 0, 0)) << "all of it is attended where it lies";
}

// With three batches in flight, the cores have two to attend to while the device takes the third through the
// rest of its layer and into the next one.
TEST(HostAttention, OtherBatchesAreUnderWayMeanwhile) {
  const auto program = build_all({.token_steps = 2,
                                  .gpu_batches = 3,
                                  .layer_weights = kHost,
                                  .kv = kHost,
                                  .weight_slots = 3,
                                  .host_attention = kShare})
                           .front();
  std::vector<const Step*> passes;  // projected, not yet through the feed-forward
  std::size_t least = 3, most = 0;
  for (const Step& step : program.steps) {
    if (step.token_step.value == 0) continue;
    if (step.kind == StepKind::project_qkv) passes.push_back(&step);
    if (step.kind == StepKind::feed_forward) {
      EXPECT_EQ(passes.front()->layer, step.layer);
      EXPECT_EQ(passes.front()->gpu_batch, step.gpu_batch);
      const bool ends = step.layer.value == 5;  // the next token waits for all
      if (!ends) least = std::min(least, passes.size());
      passes.erase(passes.begin());
    }
    most = std::max(most, passes.size());
  }
  EXPECT_EQ(most, 3u);
  EXPECT_EQ(least, 3u);
}

// What the cores attend to waits for its own projection, and for nothing that is later in the program.
TEST(HostAttention, CoresWaitForTheirProjectionOnly) {
  const auto program =
      build_all({.token_steps = 3, .gpu_batches = 3, .kv = kHost, .host_attention = kAll}).front();
  for (const Step& step : program.steps) {
    if (step.kind != StepKind::attend_host) continue;
    const StepId fetch = step.after[static_cast<std::size_t>(Queue::store)];
    ASSERT_TRUE(fetch.valid());
    EXPECT_EQ(program.step(fetch).kind, StepKind::fetch_qkv);
    EXPECT_EQ(program.step(fetch).gpu_batch, step.gpu_batch);
    EXPECT_EQ(program.step(fetch).layer, step.layer);
  }
}

TEST(HostAttention, ProgramsSurviveTheRoundTrip) {
  for (const auto& program : build_all(kEverythingMoves)) {
    const std::string text = to_text(program);
    EXPECT_EQ(to_text(parse_program(text)), text);
  }
}

TEST(HostAttention, BuffersAddUpToTheirSizes) {
  StageParameters p;
  p.slice = {LayerId(0), 2, true, true};
  p.token_steps = 2;
  p.gpu_batches = 2;
  p.kv = kHost;
  p.host_attention = kAll;
  p.sizes.attention = 1;
  p.sizes.attention_decode = 10;
  p.sizes.host_rows = 100;
  p.sizes.kv_block = [](auto, auto, auto) { return std::array<Bytes, 3>{0, 3000, 0}; };
  p.sizes.kv_cpu = [](auto, auto, auto) { return Bytes{2000}; };
  const auto bytes = buffer_bytes(build_program(p));
  EXPECT_EQ(bytes[0], 1 + 3 * 10);
  EXPECT_EQ(bytes[1], 3 * 100 + 2 * 2 * 3000);
}

}  // namespace
}  // namespace optpipe::schedule
