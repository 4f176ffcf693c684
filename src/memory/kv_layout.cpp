#include "optpipe/memory/kv_layout.hpp"

#include <algorithm>

#include "optpipe/memory/arena.hpp"
#include "optpipe/memory/disk_file.hpp"

namespace optpipe::memory {
namespace {

// Deals heads out to tiers so that the bytes dealt so far keep to the shares.
class TierDealer {
 public:
  explicit TierDealer(const TierShares& shares)
      : wanted_{shares.device / 100, shares.host / 100, shares.disk() / 100} {}

  // Heads for each tier out of one sequence's `heads`, each of `head_bytes`.
  std::array<std::int64_t, 3> deal(std::int64_t heads, double head_bytes) {
    total_ += static_cast<double>(heads) * head_bytes;
    std::array<std::int64_t, 3> dealt{};
    std::int64_t left = heads;
    for (std::size_t tier = 0; tier < 2; ++tier) {
      const double due = (wanted_[tier] * total_ - given_[tier]) / head_bytes;
      const bool rest_is_empty = tier == 0 ? wanted_[1] + wanted_[2] <= 0 : wanted_[2] <= 0;
      dealt[tier] =
          rest_is_empty ? left : std::clamp(static_cast<std::int64_t>(due + 0.5), std::int64_t{0}, left);
      given_[tier] += static_cast<double>(dealt[tier]) * head_bytes;
      left -= dealt[tier];
    }
    dealt[2] = left;
    return dealt;
  }

 private:
  std::array<double, 3> wanted_;
  std::array<double, 3> given_{};
  double total_ = 0;
};

KvBlock lay_out_block(const GpuBatch& batch, std::int64_t heads, Bytes head_row_bytes, TierDealer& dealer) {
  KvBlock block;
  for (std::size_t s = 0; s < batch.size(); ++s) {
    const auto positions = batch[s].kv_positions();
    const auto dealt =
        dealer.deal(heads, 2.0 * static_cast<double>(positions) * static_cast<double>(head_row_bytes));
    std::int32_t first_head = 0;
    for (const Tier tier : kTiers) {
      const auto index = static_cast<std::size_t>(tier);
      const auto count = static_cast<std::int32_t>(dealt[index]);
      if (count == 0) continue;
      const Bytes row_bytes = static_cast<Bytes>(count) * head_row_bytes,
                  keys = static_cast<Bytes>(positions) * row_bytes;
      const KvSegment segment{tier,
                              static_cast<std::int32_t>(s),
                              first_head,
                              count,
                              positions,
                              row_bytes,
                              tier == Tier::disk ? disk_aligned(keys) : keys,
                              block.bytes[index]};
      block.bytes[index] += aligned(segment.bytes());
      block.segments.push_back(segment);
      first_head += count;
    }
  }
  return block;
}

}  // namespace

KvLayout lay_out_kv(const Round& round, std::int64_t layers, std::int64_t heads, const RowFormat& format,
                    const TierShares& shares) {
  KvLayout layout;
  layout.layers = layers;
  layout.format = format;
  TierDealer dealer(shares);
  for (const auto& micro_batch : round.micro_batches) {
    layout.gpu_batches = static_cast<std::int64_t>(micro_batch.size());
    for (const auto& gpu_batch : micro_batch) {
      for (std::int64_t layer = 0; layer < layers; ++layer) {
        KvBlock block = lay_out_block(gpu_batch, heads, format.row_bytes(), dealer);
        block.base = layout.bytes;
        for (std::size_t tier = 0; tier < kTiers.size(); ++tier) layout.bytes[tier] += block.bytes[tier];
        layout.slot_bytes = std::max(layout.slot_bytes, block.slot_bytes());
        layout.stage_bytes = std::max(layout.stage_bytes, block.on(Tier::disk));
        layout.blocks.push_back(std::move(block));
      }
    }
  }
  return layout;
}

}  // namespace optpipe::memory
