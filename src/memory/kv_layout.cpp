#include "optpipe/memory/kv_layout.hpp"

#include <algorithm>
#include <numeric>

#include "optpipe/memory/arena.hpp"
#include "optpipe/memory/disk_file.hpp"

namespace optpipe::memory {
namespace {

// Where heads go: a tier, and on the host who attends to them.
struct Destination {
  Tier tier;
  bool on_cpu;
};
constexpr std::array<Destination, 4> kDestinations{
    {{Tier::device, false}, {Tier::host, false}, {Tier::host, true}, {Tier::disk, false}}};
using Shares = std::array<double, kDestinations.size()>;

// Deals heads out so that the bytes dealt so far keep to the shares.
class HeadDealer {
 public:
  HeadDealer(const TierShares& shares, double cpu_share)
      : wanted_{shares.device / 100, shares.host / 100 * (1 - cpu_share), shares.host / 100 * cpu_share,
                shares.disk() / 100} {}

  // Heads for each destination out of one sequence's `heads`, each of `head_bytes`.
  std::array<std::int64_t, kDestinations.size()> deal(std::int64_t heads, double head_bytes) {
    total_ += static_cast<double>(heads) * head_bytes;
    std::array<std::int64_t, kDestinations.size()> dealt{};
    std::int64_t left = heads;
    for (std::size_t i = 0; i < kDestinations.size(); ++i) {
      const double due = (wanted_[i] * total_ - given_[i]) / head_bytes;
      const bool rest_is_empty =
          std::accumulate(wanted_.begin() + static_cast<long>(i) + 1, wanted_.end(), 0.0) <= 0;
      dealt[i] =
          rest_is_empty ? left : std::clamp(static_cast<std::int64_t>(due + 0.5), std::int64_t{0}, left);
      given_[i] += static_cast<double>(dealt[i]) * head_bytes;
      left -= dealt[i];
    }
    return dealt;
  }

 private:
  Shares wanted_;
  Shares given_{};
  double total_ = 0;
};

// Heads that stay together: as few as keep quantized rows at multiples of 16 bytes, which is how GPUs load
// them; one where the heads do not come in such groups.
std::int64_t heads_together(const RowFormat& format, std::int64_t heads) {
  constexpr Bytes kLoad = 16;
  if (!is_quantized(format.format)) return 1;
  for (const std::int64_t count : {1, 2, 4, 8})
    if (heads % count == 0 && format.row_bytes(count) % kLoad == 0) return count;
  return 1;
}

KvBlock lay_out_block(const GpuBatch& batch, std::int64_t least_positions, std::int64_t heads,
                      const RowFormat& format, int arrays, HeadDealer& dealer) {
  const Bytes head_row_bytes = format.row_bytes();
  const std::int64_t together = heads_together(format, heads);
  KvBlock block;
  for (std::size_t s = 0; s < batch.size(); ++s) {
    const auto positions = std::max(batch[s].kv_positions(), least_positions);
    const auto dealt = dealer.deal(heads / together,
                                   static_cast<double>(arrays) * static_cast<double>(positions) *
                                       static_cast<double>(together) * static_cast<double>(head_row_bytes));
    std::int32_t first_head = 0;
    for (std::size_t i = 0; i < kDestinations.size(); ++i) {
      const auto count = static_cast<std::int32_t>(dealt[i] * together);
      if (count == 0) continue;
      const auto [tier, on_cpu] = kDestinations[i];
      const Bytes row_bytes = static_cast<Bytes>(count) * head_row_bytes,
                  keys = static_cast<Bytes>(positions) * row_bytes;
      const KvSegment segment{tier,
                              static_cast<std::int32_t>(s),
                              first_head,
                              count,
                              positions,
                              row_bytes,
                              tier == Tier::disk ? disk_aligned(keys) : keys,
                              0,
                              on_cpu,
                              arrays};
      if (on_cpu) block.cpu_bytes += aligned(segment.bytes());
      block.segments.push_back(segment);
      first_head += count;
    }
  }
  // What streams lies together, so that few copies move it.
  for (const bool on_cpu : {false, true}) {
    for (KvSegment& segment : block.segments) {
      if (segment.on_cpu != on_cpu) continue;
      Bytes& end = block.bytes[static_cast<std::size_t>(segment.tier)];
      segment.offset = end;
      end += aligned(segment.bytes());
    }
  }
  return block;
}

}  // namespace

KvLayout lay_out_kv(const Round& round, std::int64_t layers, std::int64_t heads, const RowFormat& format,
                    const TierShares& shares, double cpu_share, int arrays) {
  KvLayout layout;
  layout.layers = layers;
  layout.format = format;
  HeadDealer dealer(shares, cpu_share);
  const std::int64_t least_positions = round.shared_positions();
  for (const auto& micro_batch : round.micro_batches) {
    layout.gpu_batches = static_cast<std::int64_t>(micro_batch.size());
    for (const auto& gpu_batch : micro_batch) {
      for (std::int64_t layer = 0; layer < layers; ++layer) {
        KvBlock block = lay_out_block(gpu_batch, least_positions, heads, format, arrays, dealer);
        block.base = layout.bytes;
        for (std::size_t tier = 0; tier < kTiers.size(); ++tier) layout.bytes[tier] += block.bytes[tier];
        layout.slot_bytes = std::max(layout.slot_bytes, block.slot_bytes());
        layout.cpu_bytes += block.cpu_bytes;
        layout.stage_bytes = std::max(layout.stage_bytes, block.on(Tier::disk));
        layout.blocks.push_back(std::move(block));
      }
    }
  }
  return layout;
}

}  // namespace optpipe::memory
