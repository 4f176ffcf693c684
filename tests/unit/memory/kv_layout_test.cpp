#include "optpipe/memory/kv_layout.hpp"

#include <gtest/gtest.h>

#include <set>

namespace optpipe::memory {
namespace {

Round ragged_round(std::int64_t micro_batches, std::int64_t gpu_batches, std::int64_t sequences) {
  Round round;
  std::int64_t index = 0;
  for (std::int64_t m = 0; m < micro_batches; ++m) {
    auto& micro_batch = round.micro_batches.emplace_back();
    for (std::int64_t k = 0; k < gpu_batches; ++k) {
      auto& batch = micro_batch.emplace_back();
      for (std::int64_t s = 0; s < sequences; ++s, ++index)
        batch.push_back({index, 1 + index * 37 % 200, 32});
    }
  }
  return round;
}

TEST(KvLayout, EveryHeadOfEverySequenceHasItsPlace) {
  const auto layout =
      lay_out_kv(ragged_round(2, 3, 5), 4, 12, {StorageFormat::native, DType::f16, 64}, {30, 30});
  ASSERT_EQ(layout.blocks.size(), 2u * 3 * 4);
  for (const KvBlock& block : layout.blocks) {
    std::array<Bytes, 3> end{};
    std::set<std::pair<int, int>> heads;
    for (const KvSegment& segment : block.segments) {
      for (int head = 0; head < segment.heads; ++head)
        EXPECT_TRUE(heads.emplace(segment.sequence, segment.first_head + head).second);
      EXPECT_EQ(segment.row_bytes, static_cast<Bytes>(segment.heads) * 64 * 2);
      auto& tier_end = end[static_cast<std::size_t>(segment.tier)];
      EXPECT_GE(segment.offset, tier_end) << "segments overlap";
      tier_end = segment.offset + segment.bytes();
    }
    EXPECT_EQ(heads.size(), 5u * 12);
    for (std::size_t tier = 0; tier < 3; ++tier) EXPECT_LE(end[tier], block.bytes[tier]);
  }
}

// X of a sequence is not cut: shares are of whole sequences, and hold over the slice all the same.
TEST(KvLayout, InputsLieInWholeSequences) {
  const RowFormat row{StorageFormat::native, DType::f16, 768};
  const auto keys =
      lay_out_kv(ragged_round(2, 3, 5), 12, 12, {StorageFormat::native, DType::f16, 64}, {0, 100});
  for (const TierShares shares : {TierShares{0, 100}, {100, 0}, {30, 30}, {50, 50}, {10, 60}}) {
    const auto layout = lay_out_kv(ragged_round(2, 3, 5), 12, 1, row, shares, 0, 1);
    Bytes total = 0;
    for (const KvBlock& block : layout.blocks) {
      ASSERT_EQ(block.segments.size(), 5u);
      for (const KvSegment& segment : block.segments) {
        EXPECT_EQ(segment.row_bytes, 768u * 2);
        EXPECT_EQ(segment.bytes(), segment.array_bytes);
        total += static_cast<Bytes>(segment.positions) * segment.row_bytes;
      }
    }
    EXPECT_EQ(2 * total, keys.bytes[1]) << "half of what keys and values take";
    const auto sum = static_cast<double>(total);
    EXPECT_NEAR(static_cast<double>(layout.bytes[0]) / sum, shares.device / 100, 0.01);
    EXPECT_NEAR(static_cast<double>(layout.bytes[1]) / sum, shares.host / 100, 0.01);
  }
}

TEST(KvLayout, BlocksDoNotOverlap) {
  const auto layout =
      lay_out_kv(ragged_round(2, 2, 3), 3, 8, {StorageFormat::native, DType::f16, 64}, {50, 25});
  std::array<Bytes, 3> end{};
  for (const KvBlock& block : layout.blocks) {
    for (std::size_t tier = 0; tier < 3; ++tier) {
      EXPECT_EQ(block.base[tier], end[tier]);
      end[tier] += block.bytes[tier];
    }
  }
  EXPECT_EQ(end, layout.bytes);
}

// Whole heads, but true shares over the slice: what one block takes too much, the next gives back.
TEST(KvLayout, SharesHoldByBytes) {
  for (const TierShares shares : {TierShares{20, 80}, {50, 25}, {10, 60}, {99, 0}, {0, 33}}) {
    const auto layout =
        lay_out_kv(ragged_round(2, 3, 4), 12, 12, {StorageFormat::native, DType::f16, 64}, shares);
    const double total = static_cast<double>(layout.bytes[0] + layout.bytes[1] + layout.bytes[2]);
    EXPECT_NEAR(100 * static_cast<double>(layout.bytes[0]) / total, shares.device, 1.0);
    EXPECT_NEAR(100 * static_cast<double>(layout.bytes[1]) / total, shares.host, 1.0);
  }
}

TEST(KvLayout, WholeSharesLeaveNothingElsewhere) {
  const auto on_device =
      lay_out_kv(ragged_round(1, 1, 3), 2, 4, {StorageFormat::native, DType::f16, 64}, {100, 0});
  EXPECT_EQ(on_device.bytes[1] + on_device.bytes[2] + on_device.slot_bytes, 0u);
  const auto on_host =
      lay_out_kv(ragged_round(1, 1, 3), 2, 4, {StorageFormat::native, DType::f16, 64}, {0, 100});
  EXPECT_EQ(on_host.bytes[0] + on_host.bytes[2] + on_host.stage_bytes, 0u);
}

// The last new token is not fed back: prompt + new - 1 positions. 30B: "cache size" of FlexGen counts one
// more.
TEST(KvLayout, HoldsTheBytesOfTheCache) {
  Round round{{{{{0, 512, 32}}}}};
  const auto layout = lay_out_kv(round, 48, 56, {StorageFormat::native, DType::f16, 128}, {100, 0});
  EXPECT_EQ(layout.bytes[0], 4u * 48 * 7168 * (512 + 31));
}

// Heads are quantized one by one, so a share of the heads is a share of the bytes (on disk, in whole pages,
// small caches take more), and no cut changes a bit.
TEST(KvLayout, QuantizedHeadsAreDealtWhole) {
  for (const std::int64_t dim : {64, 80, 128}) {
    const RowFormat format{StorageFormat::q4, DType::f16, dim};
    const auto layout = lay_out_kv(ragged_round(2, 3, 4), 12, 12, format, {30, 70});
    for (const KvBlock& block : layout.blocks)
      for (const KvSegment& segment : block.segments)
        EXPECT_EQ(segment.row_bytes, format.row_bytes(segment.heads));
    const double total = static_cast<double>(layout.bytes[0] + layout.bytes[1] + layout.bytes[2]);
    EXPECT_NEAR(100 * static_cast<double>(layout.bytes[0]) / total, 30, 1.0);
    EXPECT_NEAR(100 * static_cast<double>(layout.bytes[1]) / total, 70, 1.0);
  }
}

// CPU cores have their share of the host's heads, by bytes and over the slice; heads of other tiers stay
// where they are.
TEST(KvLayout, CpuCoresHaveTheirShareOfTheHost) {
  for (const TierShares shares : {TierShares{20, 80}, {50, 25}, {0, 100}})
    for (const double cpu_share : {0.0, 0.1, 0.33, 0.9, 1.0}) {
      const RowFormat format{StorageFormat::native, DType::f16, 64};
      const auto layout = lay_out_kv(ragged_round(2, 3, 4), 12, 12, format, shares, cpu_share);
      EXPECT_NEAR(static_cast<double>(layout.cpu_bytes) / static_cast<double>(layout.bytes[1]), cpu_share,
                  0.02);
      const double total = static_cast<double>(layout.bytes[0] + layout.bytes[1] + layout.bytes[2]);
      EXPECT_NEAR(100 * static_cast<double>(layout.bytes[1]) / total, shares.host, 1.0);
      Bytes of_blocks = 0;
      for (const KvBlock& block : layout.blocks) {
        Bytes of_segments = 0;
        for (const KvSegment& segment : block.segments) {
          EXPECT_TRUE(!segment.on_cpu || segment.tier == Tier::host);
          if (segment.on_cpu) of_segments += segment.bytes();
        }
        EXPECT_LE(of_segments, block.cpu_bytes);
        of_blocks += block.cpu_bytes;
      }
      EXPECT_EQ(of_blocks, layout.cpu_bytes);
    }
}

// So that few copies move what streams, and no segment overlaps another.
TEST(KvLayout, WhatCpuCoresAttendToLiesBehindWhatStreams) {
  const RowFormat format{StorageFormat::native, DType::f16, 64};
  const auto layout = lay_out_kv(ragged_round(2, 3, 4), 12, 12, format, {20, 60}, 0.4);
  for (const KvBlock& block : layout.blocks) {
    std::array<Bytes, 3> end{};
    for (const bool on_cpu : {false, true})
      for (const KvSegment& segment : block.segments) {
        if (segment.on_cpu != on_cpu) continue;
        Bytes& tier_end = end[static_cast<std::size_t>(segment.tier)];
        EXPECT_GE(segment.offset, tier_end);
        EXPECT_LE(segment.offset, tier_end + 4096) << "a gap";
        tier_end = segment.offset + segment.bytes();
      }
    for (std::size_t tier = 0; tier < 3; ++tier) EXPECT_LE(end[tier], block.bytes[tier]);
  }
}

}  // namespace
}  // namespace optpipe::memory
