#include "optpipe/model/slice.hpp"

#include <gmock/gmock.h>

#include <limits>

#include "optpipe/base/error.hpp"

namespace optpipe::model {
namespace {

std::vector<std::int64_t> layers_of(const std::vector<StageSlice>& slices) {
  std::vector<std::int64_t> layers;
  for (const auto& slice : slices) layers.push_back(slice.layers);
  return layers;
}

TEST(Slices, CoverTheModelInOrder) {
  const auto config = config_of_size("opt-30b");
  for (int stages = 1; stages <= 48; ++stages) {
    const auto slices = balance_stages(config, stages);
    ASSERT_EQ(slices.size(), static_cast<std::size_t>(stages));
    LayerId next(0);
    for (const auto& slice : slices) {
      EXPECT_EQ(slice.first, next);
      EXPECT_GE(slice.layers, 1);
      next = slice.end();
    }
    EXPECT_EQ(next.value, 48);
    EXPECT_TRUE(slices.front().embedding);
    EXPECT_TRUE(slices.back().head);
  }
}

// In OPT-125m the head weighs 38.6 M parameters, as much as 5.4 layers: the last stage gets fewer layers for
// it.
TEST(Slices, TheHeadCounts) {
  EXPECT_EQ(layers_of(balance_stages(config_of_size("opt-125m"), 2)), (std::vector<std::int64_t>{9, 3}));
  EXPECT_EQ(layers_of(balance_stages(config_of_size("opt-30b"), 4)),
            (std::vector<std::int64_t>{12, 12, 12, 12}));
}

TEST(Slices, ByHand) {
  const auto config = config_of_size("opt-125m");
  EXPECT_EQ(layers_of(cut_stages(config, {5, 4, 3})), (std::vector<std::int64_t>{5, 4, 3}));
  EXPECT_THROW(cut_stages(config, {5, 4}), UsageError);
  EXPECT_THROW(cut_stages(config, {12, 0}), UsageError);
  constexpr auto kMost = std::numeric_limits<std::int64_t>::max();
  EXPECT_THROW(cut_stages(config, {kMost, kMost, 14}), UsageError) << "whose sum wraps round to 12";
}

TEST(Slices, MoreStagesThanLayersAreRefused) {
  EXPECT_THROW(balance_stages(config_of_size("opt-125m"), 13), UsageError);
}

TEST(LoopStages, EveryLayerBelongsToOneStageAndIsFoundThere) {
  auto config = config_of_size("opt-125m");
  for (const std::int64_t layers : {5, 12, 13})
    for (const std::int64_t chunk_layers : {1, 2, 5})
      for (const int stages : {1, 2, 3}) {
        config.layers = layers;
        if ((layers + chunk_layers - 1) / chunk_layers < stages) continue;
        const auto slices = loop_stages(config, stages, chunk_layers);
        std::vector<int> owner(static_cast<std::size_t>(layers), -1);
        for (int stage = 0; stage < stages; ++stage) {
          const StageSlice& slice = slices[static_cast<std::size_t>(stage)];
          std::int64_t of_runs = 0;
          for (const LayerRun& run : slice.runs()) of_runs += run.layers;
          EXPECT_EQ(of_runs, slice.layers);
          for (std::int64_t i = 0; i < slice.layers; ++i) {
            const LayerId layer = slice.layer_at(i);
            EXPECT_EQ(slice.index_of(layer), i);
            EXPECT_EQ(std::exchange(owner[static_cast<std::size_t>(layer.value)], stage), -1);
            EXPECT_EQ(stage, layer.value / chunk_layers % stages);
          }
          EXPECT_EQ(slice.index_of(slice.end()), slice.layers);
          EXPECT_EQ(slice.embedding, stage == 0);
          EXPECT_EQ(slice.head, stage == head_stage(config, slice, stages));
          EXPECT_EQ(slice.head, slice.end().value == layers);
        }
        EXPECT_THAT(owner, testing::Each(testing::Ge(0)));
      }
}

TEST(LoopStages, ReadsAsItsRuns) {
  auto config = config_of_size("opt-125m");
  config.layers = 9;
  const auto slices = loop_stages(config, 2, 2);
  EXPECT_EQ(to_string(slices[0]), "layers 0-1, 4-5, 8");
  EXPECT_EQ(to_string(slices[1]), "layers 2-3, 6-7");
  EXPECT_EQ(to_string(balance_stages(config, 1).front()), "layers 0-8");
}

TEST(LoopStages, FewerChunksThanStagesAreRefused) {
  auto config = config_of_size("opt-125m");
  config.layers = 9;
  EXPECT_THROW(loop_stages(config, 4, 4), UsageError);
  EXPECT_THROW(loop_stages(config, 10, 1), UsageError);
  EXPECT_THROW(loop_stages(config, 2, 0), UsageError);
}

}  // namespace
}  // namespace optpipe::model
