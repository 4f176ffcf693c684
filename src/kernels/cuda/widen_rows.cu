// Rows of a quantized weight, or of keys and values, to halves, at the speed of memory: what a product or
// attention reads next.
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

// The same of rows of whole groups.
template <StorageFormat format>
__global__ void __launch_bounds__(kThreads)
    widen_groups(const std::byte* rows, std::int64_t row_bytes, std::int64_t pairs, int columns, Half* out) {
  const std::byte* row = rows + blockIdx.x * row_bytes;
  const int units = columns / static_cast<int>(kGroupValues) * WholeGroups<format>::kUnits;
#pragma unroll 2
  for (int i = threadIdx.x; i < units; i += blockDim.x)
    WholeGroups<format>::widen(row, row + pairs, i, out + std::int64_t{blockIdx.x} * columns);
}

// So many that all have as much to do.
template <StorageFormat format>
unsigned threads_for(std::int64_t columns) {
  const std::int64_t units = columns / kGroupValues * WholeGroups<format>::kUnits,
                     turns = (units + kThreads - 1) / kThreads;
  return static_cast<unsigned>(((units + turns - 1) / turns + 31) / 32 * 32);
}

// Keys (z = 0) or values of a row of a task a block.
template <StorageFormat format>
__global__ void __launch_bounds__(kThreads)
    widen_prompts(const KvTask* tasks, int dim, WidenedKv to, KvTask* widened) {
  const KvTask task = tasks[blockIdx.x];
  const int columns = task.heads * dim, groups = columns / static_cast<int>(kGroupValues);
  const std::int64_t at =
      task.first_row * to.stride + std::int64_t{task.rows} * task.first_head * dim;  // of the segment
  if (blockIdx.y == 0 && blockIdx.z == 0 && threadIdx.x == 0) {
    KvTask there = task;
    there.keys = to.keys + at;
    there.values = to.values + at;
    widened[blockIdx.x] = there;
  }
  if (static_cast<int>(blockIdx.y) >= task.rows) return;
  const std::int64_t pairs = static_cast<std::int64_t>(code_bytes(format, kGroupValues)) * groups,
                     row_bytes = pairs + static_cast<std::int64_t>(kGroupPairBytes) * groups;
  const std::byte* row =
      reinterpret_cast<const std::byte*>(blockIdx.z == 0 ? task.keys : task.values) + blockIdx.y * row_bytes;
  Half* out = (blockIdx.z == 0 ? to.keys : to.values) + at + std::int64_t{blockIdx.y} * columns;
#pragma unroll 2
  for (int i = threadIdx.x; i < groups * WholeGroups<format>::kUnits; i += blockDim.x)
    WholeGroups<format>::widen(row, row + pairs, i, out);
}

template <StorageFormat format>
void launch(const std::byte* rows, std::int64_t count, const RowFormat& row, Half* out, Stream stream) {
  const auto bytes = static_cast<std::int64_t>(row.row_bytes());
  const bool wide = row.run % 8 == 0 && bytes % 4 == 0 && reinterpret_cast<std::uintptr_t>(rows) % 4 == 0 &&
                    reinterpret_cast<std::uintptr_t>(out) % 8 == 0;
  if (wide && row.run % kGroupValues == 0 && is_wide(out)) {
    widen_groups<format><<<static_cast<unsigned>(count), threads_for<format>(row.run), 0, stream>>>(
        rows, bytes, static_cast<std::int64_t>(row.pairs_offset()), static_cast<int>(row.run), out);
    return check_launch("widen_groups");
  }
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

void launch_widen_prompts(const KvBatch& batch, std::int64_t head_dim, const WidenedKv& to, KvTask* widened,
                          Stream stream) {
  const dim3 grid(static_cast<unsigned>(batch.count), static_cast<unsigned>(batch.most_rows), 2);
  const auto columns = batch.most_heads * head_dim;
  if (batch.format == StorageFormat::q8)
    widen_prompts<StorageFormat::q8><<<grid, threads_for<StorageFormat::q8>(columns), 0, stream>>>(
        batch.tasks, static_cast<int>(head_dim), to, widened);
  else
    widen_prompts<StorageFormat::q4><<<grid, threads_for<StorageFormat::q4>(columns), 0, stream>>>(
        batch.tasks, static_cast<int>(head_dim), to, widened);
  check_launch("widen_prompts");
}

}  // namespace optpipe::kernels::cuda
