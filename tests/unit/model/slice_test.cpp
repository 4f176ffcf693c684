#include "optpipe/model/slice.hpp"

#include <gtest/gtest.h>

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
}

TEST(Slices, MoreStagesThanLayersAreRefused) {
  EXPECT_THROW(balance_stages(config_of_size("opt-125m"), 13), UsageError);
}

}  // namespace
}  // namespace optpipe::model
