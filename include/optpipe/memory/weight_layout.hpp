// Where each tensor of a group (a layer, the embedding, the head) lies: which rows on which tier, at which
// offset.
#pragma once

#include <array>
#include <vector>

#include "optpipe/base/storage_format.hpp"
#include "optpipe/base/units.hpp"
#include "optpipe/memory/policy.hpp"
#include "optpipe/model/tensors.hpp"

namespace optpipe::memory {

// Rows [first_row, first_row + rows) of a tensor, at `offset` in its group's block on `tier`.
struct TensorPiece {
  Tier tier{};
  std::int64_t first_row = 0;
  std::int64_t rows = 0;
  Bytes offset = 0;
};

struct TensorPlacement {
  model::TensorSpec spec;
  RowFormat format;                 // of its rows
  std::vector<TensorPiece> pieces;  // in row order, at most one a tier

  Bytes row_bytes() const { return format.row_bytes(); }
};

struct GroupLayout {
  std::vector<TensorPlacement> tensors;
  std::array<Bytes, 3> bytes{};  // of the group's block on each tier

  Bytes on(Tier tier) const { return bytes[static_cast<std::size_t>(tier)]; }
  Bytes& on(Tier tier) { return bytes[static_cast<std::size_t>(tier)]; }
  // What a slot on the device must hold while the group is in use: the host block, then the disk block.
  Bytes slot_bytes() const { return on(Tier::host) + on(Tier::disk); }
  Bytes disk_offset_in_slot() const { return on(Tier::host); }
  const TensorPlacement* find(model::Role role) const;
};

// Splits the group by bytes: in the tensors' order, the first `shares.device` percent lies on the device, the
// next `shares.host` percent on the host, the rest on disk. Cuts fall between rows,
// at multiples of eight where that costs less than 0.1 % of the group; vectors are not cut. Matrices are kept
// in the format `matrices`, vectors as they are.
GroupLayout lay_out_group(const std::vector<model::TensorSpec>& specs, DType dtype, const TierShares& shares,
                          StorageFormat matrices = StorageFormat::native);

}  // namespace optpipe::memory
