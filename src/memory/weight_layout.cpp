#include "optpipe/memory/weight_layout.hpp"

#include <algorithm>
#include <cmath>

#include "optpipe/memory/arena.hpp"
#include "optpipe/memory/disk_file.hpp"

namespace optpipe::memory {
namespace {

// Rows between which a matrix may be cut: eight keep GPU loads wide, unless so many are more than a
// thousandth of the group.
std::int64_t cut_unit(std::int64_t rows, double row_bytes, double group_bytes) {
  constexpr std::int64_t kWide = 8;
  return rows % kWide == 0 && kWide * row_bytes <= group_bytes / 1000 ? kWide : 1;
}

// Rows of the tensor that begins at byte `begin` of the group and that lie before the boundary at byte
// `boundary`.
std::int64_t rows_before(double boundary, double begin, double row_bytes, std::int64_t rows,
                         std::int64_t unit) {
  const double wanted = std::round((boundary - begin) / row_bytes / static_cast<double>(unit));
  return unit * static_cast<std::int64_t>(std::clamp(wanted, 0.0, static_cast<double>(rows / unit)));
}

}  // namespace

const TensorPlacement* GroupLayout::find(model::Role role) const {
  const auto found =
      std::ranges::find_if(tensors, [&](const auto& tensor) { return tensor.spec.role == role; });
  return found == tensors.end() ? nullptr : &*found;
}

GroupLayout lay_out_group(const std::vector<model::TensorSpec>& specs, DType dtype, const TierShares& shares,
                          StorageFormat matrices) {
  GroupLayout layout;
  for (const auto& spec : specs)
    layout.tensors.push_back(
        {spec, {spec.vector ? StorageFormat::native : matrices, dtype, spec.columns}, {}});
  double total = 0;
  for (const auto& tensor : layout.tensors)
    total += static_cast<double>(tensor.spec.rows) * static_cast<double>(tensor.row_bytes());
  const std::array boundaries{total * shares.device / 100, total * (shares.device + shares.host) / 100,
                              total * 2};  // the last: beyond every row
  double begin = 0;
  for (auto& tensor : layout.tensors) {
    const std::int64_t rows = tensor.spec.rows;
    const auto row_bytes = static_cast<double>(tensor.row_bytes());
    std::int64_t first = 0;
    for (const Tier tier : kTiers) {
      const auto end = rows_before(boundaries[static_cast<std::size_t>(tier)], begin, row_bytes, rows,
                                   cut_unit(rows, row_bytes, total));
      if (end <= first) continue;
      tensor.pieces.push_back({tier, first, end - first, layout.on(tier)});
      layout.on(tier) += aligned(static_cast<Bytes>(end - first) * tensor.row_bytes());
      first = end;
    }
    begin += static_cast<double>(rows) * row_bytes;
  }
  layout.on(Tier::disk) = disk_aligned(layout.on(Tier::disk));
  return layout;
}

}  // namespace optpipe::memory
