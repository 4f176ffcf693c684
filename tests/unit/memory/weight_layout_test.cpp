#include "optpipe/memory/weight_layout.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "optpipe/memory/arena.hpp"

namespace optpipe::memory {
namespace {

const std::vector<TierShares> kShares{{100, 0}, {0, 100}, {0, 0},  {20, 80},
                                      {33, 33}, {1, 98},  {50, 0}, {99.5, 0.25}};

class WeightLayout : public ::testing::TestWithParam<const char*> {};

TEST_P(WeightLayout, CoversEveryRowOnce) {
  const auto config = model::config_of_size(GetParam());
  for (const auto& shares : kShares) {
    for (const auto& tensor :
         lay_out_group(model::layer_tensors(config, LayerId(0)), DType::f16, shares).tensors) {
      std::int64_t next = 0;
      for (const auto& piece : tensor.pieces) {
        EXPECT_EQ(piece.first_row, next);
        EXPECT_GT(piece.rows, 0);
        next += piece.rows;
      }
      EXPECT_EQ(next, tensor.spec.rows) << tensor.spec.name;
    }
  }
}

// Percentages are honoured by bytes: FlexGen's 20/80 for OPT-30B is really 8.3/91.7, since it places whole
// tensors.
TEST_P(WeightLayout, SharesHoldByBytes) {
  const auto config = model::config_of_size(GetParam());
  for (const auto& shares : kShares) {
    const auto layout = lay_out_group(model::layer_tensors(config, LayerId(0)), DType::f16, shares);
    const double total = static_cast<double>(layout.bytes[0] + layout.bytes[1] + layout.bytes[2]);
    EXPECT_NEAR(100 * static_cast<double>(layout.on(Tier::device)) / total, shares.device, 0.1);
    EXPECT_NEAR(100 * static_cast<double>(layout.on(Tier::host)) / total, shares.host, 0.1);
  }
}

TEST_P(WeightLayout, PiecesDoNotOverlap) {
  const auto config = model::config_of_size(GetParam());
  const auto layout = lay_out_group(model::head_tensors(config), DType::f16, {40, 30});
  std::array<Bytes, 3> end{};
  for (const auto& tensor : layout.tensors) {
    for (const auto& piece : tensor.pieces) {
      auto& tier_end = end[static_cast<std::size_t>(piece.tier)];
      EXPECT_GE(piece.offset, tier_end);
      EXPECT_EQ(piece.offset % kAlignment, 0u);
      tier_end = piece.offset + static_cast<Bytes>(piece.rows * tensor.spec.columns) * 2;
    }
  }
  for (std::size_t tier = 0; tier < 3; ++tier) EXPECT_LE(end[tier], layout.bytes[tier]);
}

// Quantized matrices are dealt by their own bytes, in whole rows; vectors stay as they are.
TEST_P(WeightLayout, QuantizedMatricesAreCutBetweenRows) {
  const auto config = model::config_of_size(GetParam());
  for (const StorageFormat format : {StorageFormat::q8, StorageFormat::q4}) {
    for (const auto& shares : kShares) {
      const auto layout = lay_out_group(model::layer_tensors(config, LayerId(0)), DType::f16, shares, format);
      std::array<Bytes, 3> end{};
      double total = 0;
      for (const auto& tensor : layout.tensors) {
        EXPECT_EQ(tensor.format.format, tensor.spec.vector ? StorageFormat::native : format);
        std::int64_t next = 0;
        for (const auto& piece : tensor.pieces) {
          EXPECT_EQ(piece.first_row, next);
          next += piece.rows;
          auto& tier_end = end[static_cast<std::size_t>(piece.tier)];
          EXPECT_GE(piece.offset, tier_end);
          tier_end = piece.offset + static_cast<Bytes>(piece.rows) * tensor.row_bytes();
        }
        EXPECT_EQ(next, tensor.spec.rows) << tensor.spec.name;
        total += static_cast<double>(tensor.spec.rows) * static_cast<double>(tensor.row_bytes());
      }
      EXPECT_NEAR(100 * static_cast<double>(layout.on(Tier::device)) / total, shares.device, 0.15);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Sizes, WeightLayout,
                         ::testing::Values("opt-125m", "opt-350m", "opt-2.7b", "opt-175b"));

// 12 h² of products and 13 h of biases and norms a layer: 29.6 billion parameters for OPT-30B.
TEST(WeightSizes, AreThoseOfTheArchitecture) {
  const auto config = model::config_of_size("facebook/opt-30b");
  std::int64_t elements = 0;
  for (const auto& spec : model::layer_tensors(config, LayerId(0))) elements += spec.rows * spec.columns;
  EXPECT_EQ(elements, 12 * config.hidden * config.hidden + 13 * config.hidden);
}

// 4.5 bits a number: a quantized layer of OPT-30B crosses PCIe in 0.35 GB instead of 1.23.
TEST(WeightSizes, FourBitsTakeNineThirtySecondsOfSixteen) {
  const auto config = model::config_of_size("facebook/opt-30b");
  const auto bytes = [&](StorageFormat format) {
    return static_cast<double>(
        lay_out_group(model::layer_tensors(config, LayerId(0)), DType::f16, {0, 100}, format).on(Tier::host));
  };
  EXPECT_NEAR(bytes(StorageFormat::q4) / bytes(StorageFormat::native), 4.5 / 16, 1e-3);
  EXPECT_NEAR(bytes(StorageFormat::q8) / bytes(StorageFormat::native), 8.5 / 16, 1e-3);
}

}  // namespace
}  // namespace optpipe::memory
