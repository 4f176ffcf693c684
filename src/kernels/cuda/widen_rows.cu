// Rows of a quantized weight to halves, at the speed of memory: what a product reads next.
#include "kernels/cuda/coded.cuh"
#include "kernels/cuda/launches.hpp"
#include "kernels/cuda/status.hpp"

namespace optpipe::kernels::cuda {
namespace {

constexpr int kThreads = 256;

// A row a block, a unit a thread in turn. Wide: whole units, and 8-byte stores.
template <StorageFormat format, bool kWide>
__global__ void __launch_bounds__(kThreads)
    widen_row(const std::byte* rows, std::int64_t row_bytes, std::int64_t pairs, int columns, Half* out) {
  const std::byte* row = rows + blockIdx.x * row_bytes;
  Half* to = out + std::int64_t{blockIdx.x} * columns;
  const int units = (columns + 7) / 8;
  for (int i = threadIdx.x; i < units; i += kThreads) {
    const CodeUnit<format> unit(i, columns);
    const CodeRange range = range_of(load_pair<kWide>(row + pairs + kGroupPairBytes * unit.group));
    const Eight values = CodeUnit<format>::widen(unit.template load<kWide>(row), range);
    if constexpr (kWide) {
      const uint4 packed = pack(values);
      *reinterpret_cast<uint2*>(to + unit.column(0)) = {packed.x, packed.y};
      *reinterpret_cast<uint2*>(to + unit.column(4)) = {packed.z, packed.w};
    } else {
#pragma unroll
      for (int v = 0; v < 8; ++v)
        if (unit.column(v) >= 0) to[unit.column(v)] = to_half(values.at[v]);
    }
  }
}

template <StorageFormat format>
void launch(const std::byte* rows, std::int64_t count, const RowFormat& row, Half* out, Stream stream) {
  const auto bytes = static_cast<std::int64_t>(row.row_bytes());
  const bool wide = row.run % 8 == 0 && bytes % 4 == 0 && reinterpret_cast<std::uintptr_t>(rows) % 4 == 0 &&
                    reinterpret_cast<std::uintptr_t>(out) % 8 == 0;
  const auto kernel = wide ? widen_row<format, true> : widen_row<format, false>;
  kernel<<<static_cast<unsigned>(count), kThreads, 0, stream>>>(
      rows, bytes, static_cast<std::int64_t>(row.pairs_offset()), static_cast<int>(row.run), out);
  check_launch("widen_row");
}

}  // namespace

void launch_widen_rows(const std::byte* rows, std::int64_t count, const RowFormat& row, Half* out,
                       Stream stream) {
  if (row.format == StorageFormat::q8)
    launch<StorageFormat::q8>(rows, count, row, out, stream);
  else
    launch<StorageFormat::q4>(rows, count, row, out, stream);
}

}  // namespace optpipe::kernels::cuda
