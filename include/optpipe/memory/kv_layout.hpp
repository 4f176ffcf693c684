// Where keys and values, or the inputs X that stand for them, lie: for each (micro-batch, GPU batch, layer) a
// block of segments.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "optpipe/base/ids.hpp"
#include "optpipe/base/storage_format.hpp"
#include "optpipe/base/units.hpp"
#include "optpipe/memory/round.hpp"

namespace optpipe::memory {

// Some consecutive heads of one sequence: keys [positions, heads · head_dim] at `offset` of the block on its
// tier, then values of the same shape. Rows are contiguous, so a token step appends one row of each. Or, in
// place of both, the inputs X of one whole sequence [positions, h], which counts as one head.
struct KvSegment {
  Tier tier{};
  std::int32_t sequence = 0;  // in its GPU batch
  std::int32_t first_head = 0;
  std::int32_t heads = 0;
  std::int64_t positions = 0;  // capacity
  Bytes row_bytes = 0;         // of `heads` runs in the layout's format
  Bytes array_bytes = 0;  // from the first key to the first value: positions · row_bytes, whole pages on disk
  Bytes offset = 0;
  bool on_cpu = false;  // on the host: CPU cores attend to it in decode
  int arrays = 2;       // keys and values; 1: X

  Bytes value_offset() const { return offset + array_bytes; }
  Bytes bytes() const { return static_cast<Bytes>(arrays) * array_bytes; }
};

// Segments that stream cross as one copy where no more than this lies between them (room for rows to come): a
// copy takes some microseconds beyond its bytes, as long as these take.
inline constexpr Bytes kJoinedBytes = 128 * kKiB;

// One layer's keys and values of one GPU batch. On the host, what CPU cores attend to lies behind the rest.
struct KvBlock {
  std::vector<KvSegment> segments;  // by sequence, then head
  std::array<Bytes, 3> bytes{};     // of the block on each tier
  std::array<Bytes, 3> base{};      // offset of the block in the tier's region
  Bytes cpu_bytes = 0;              // of those on the host: what CPU cores attend to

  Bytes on(Tier tier) const { return bytes[static_cast<std::size_t>(tier)]; }
  Bytes slot_bytes() const { return on(Tier::host) + on(Tier::disk); }  // host segments first, then disk's
  Bytes base_on(Tier tier) const { return base[static_cast<std::size_t>(tier)]; }
};

struct KvLayout {
  std::int64_t gpu_batches = 0;
  std::int64_t layers = 0;
  RowFormat format;              // of rows; a head is a run
  std::vector<KvBlock> blocks;   // [micro-batch][GPU batch][layer of the slice]
  std::array<Bytes, 3> bytes{};  // of all blocks on each tier
  Bytes slot_bytes = 0;          // the largest block's
  Bytes stage_bytes = 0;         // the largest block's part on disk
  Bytes cpu_bytes = 0;           // of all blocks: what CPU cores attend to

  const KvBlock& block(MicroBatchId m, GpuBatchId k, std::int64_t layer_in_slice) const {
    return blocks[static_cast<std::size_t>((m.value * gpu_batches + k.value) * layers + layer_in_slice)];
  }
};

// Splits by bytes over whole heads, the host's once more: `cpu_share` of them (0 to 1) is for CPU cores; what
// rounding takes from a share in one block it gives back in the next, so that the shares hold over the slice.
// `arrays`: of a segment; X cannot be cut between heads, so that shares are of whole sequences (`heads` is
// 1).
KvLayout lay_out_kv(const Round& round, std::int64_t layers, std::int64_t heads, const RowFormat& format,
                    const TierShares& shares, double cpu_share = 0, int arrays = 2);

}  // namespace optpipe::memory
