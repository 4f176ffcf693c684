// New rows of keys and values into quantized segments: the CPU's bits for the same halves
// (kernels/quantized.hpp).
#include "kernels/cuda/coded.cuh"
#include "kernels/cuda/launches.hpp"
#include "kernels/cuda/status.hpp"
#include "optpipe/kernels/quantized.hpp"

namespace optpipe::kernels::cuda {
namespace {

constexpr int kThreads = 128;
constexpr std::uint32_t kBrokenPair = 0x7e00;  // minimum NaN, scale 0

__device__ float saturate(float value) { return fminf(fmaxf(value, -kLargestQuantized), kLargestQuantized); }

// The pair of a group of which every lane knows the range.
__device__ std::uint32_t pair_of(float least, float most, float largest) {
  const __half minimum = __float2half_rd(__fadd_rn(least, 0.0f));  // -0 becomes 0
  const float range = __fsub_rn(most, __half2float(minimum));
  const __half scale = range > 0 ? __float2half_ru(__fdiv_rn(range, largest)) : __float2half_rn(0.0f);
  return __half_as_ushort(minimum) | std::uint32_t{__half_as_ushort(scale)} << 16;
}

__device__ int code_of(float value, CodeRange range, float inverse, int largest) {
  const int code = __float2int_rn(__fmul_rn(__fsub_rn(saturate(value), range.minimum), inverse));
  return max(0, min(code, largest));
}

// A group of n halves, by one warp: a lane holds two of them, those that share a byte where codes have 4
// bits.
template <StorageFormat format>
__device__ void quantize_group(const Half* from, int n, std::byte* codes, std::byte* pair) {
  constexpr int kLargest = largest_code(format);
  const int lane = threadIdx.x % 32;
  const int step = format == StorageFormat::q4 ? (n + 1) / 2 : 32;
  const bool has_first = lane < n && lane < step, has_second = lane < step && lane + step < n;
  // Lanes without values stand in with the group's first.
  const float first = to_float(from[has_first ? lane : 0]);
  const float second = to_float(from[has_second ? lane + step : 0]);
  float least = fminf(saturate(first), saturate(second)), most = fmaxf(saturate(first), saturate(second));
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2) {
    least = fminf(least, __shfl_xor_sync(0xffffffffu, least, offset));
    most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, offset));
  }
  const bool broken = __any_sync(0xffffffffu, isnan(first) || isnan(second));
  const std::uint32_t bits = broken ? kBrokenPair : pair_of(least, most, kLargest);
  const CodeRange range = range_of(bits);
  const float inverse = range.scale > 0 ? __fdiv_rn(1.0f, range.scale) : 0.0f;
  const int low = broken ? 0 : code_of(first, range, inverse, kLargest);
  const int high = broken || !has_second ? 0 : code_of(second, range, inverse, kLargest);
  if (format == StorageFormat::q4) {
    if (has_first) codes[lane] = static_cast<std::byte>(low | high << 4);
  } else {
    if (has_first) codes[lane] = static_cast<std::byte>(low);
    if (has_second) codes[lane + step] = static_cast<std::byte>(high);
  }
  if (lane < 4) pair[lane] = static_cast<std::byte>(bits >> (8 * lane));
}

// The same of a whole group by eight lanes, which hold eight values each: loads of 16 bytes, and stores of 4.
template <StorageFormat format>
__device__ void quantize_whole_group(const Half* from, std::byte* codes, std::byte* pair) {
  constexpr int kLargest = largest_code(format), kLanes = 8;
  const int lane = threadIdx.x % kLanes;
  const unsigned members = 0xffu << (threadIdx.x % 32 / kLanes * kLanes);
  const Eight values = unpack(load_eight<true>(from + 8 * lane, 8));
  float least = saturate(values.at[0]), most = least;
  bool broken = false;
#pragma unroll
  for (const float value : values.at) {
    least = fminf(least, saturate(value));
    most = fmaxf(most, saturate(value));
    broken = broken || isnan(value);
  }
#pragma unroll
  for (int offset = kLanes / 2; offset > 0; offset /= 2) {
    least = fminf(least, __shfl_xor_sync(members, least, offset));
    most = fmaxf(most, __shfl_xor_sync(members, most, offset));
  }
  broken = __any_sync(members, broken);
  const std::uint32_t bits = broken ? kBrokenPair : pair_of(least, most, kLargest);
  const CodeRange range = range_of(bits);
  const float inverse = range.scale > 0 ? __fdiv_rn(1.0f, range.scale) : 0.0f;
  std::uint32_t words[2] = {0, 0};
#pragma unroll
  for (int v = 0; v < 8; ++v) {
    const int code = broken ? 0 : code_of(values.at[v], range, inverse, kLargest);
    words[v / 4] |= static_cast<std::uint32_t>(code) << (8 * (v % 4));
  }
  auto* to = reinterpret_cast<std::uint32_t*>(codes) + 2 * (lane % (format == StorageFormat::q4 ? 4 : 8));
  if constexpr (format == StorageFormat::q4) {  // the second half of the group has the high halves of bytes
    const std::uint32_t high[2] = {__shfl_xor_sync(members, words[0], 4),
                                   __shfl_xor_sync(members, words[1], 4)};
    if (lane < 4) to[0] = words[0] | high[0] << 4, to[1] = words[1] | high[1] << 4;
  } else {
    to[0] = words[0], to[1] = words[1];
  }
  if (lane == 0) *reinterpret_cast<std::uint32_t*>(pair) = bits;
}

// A row of a task a block, groups of keys and then of values warp by warp; whole groups, four to a warp,
// where `kWhole`.
template <StorageFormat format, bool kWhole>
__global__ void __launch_bounds__(kThreads)
    append_coded(const KvTask* tasks, RowFormat row, const Half* k, const Half* v, std::int64_t stride) {
  const KvTask task = tasks[blockIdx.x];
  if (static_cast<int>(blockIdx.y) >= task.rows) return;
  const auto row_bytes = static_cast<std::int64_t>(row.row_bytes(task.heads));
  const auto pairs = static_cast<std::int64_t>(row.pairs_offset(task.heads));
  const auto run_bytes = static_cast<std::int64_t>(row.run_code_bytes());
  const int dim = static_cast<int>(row.run), groups = static_cast<int>(row.groups()),
            all = task.heads * groups;
  const std::int64_t from =
      (std::int64_t{task.first_row} + blockIdx.y) * stride + std::int64_t{task.first_head} * dim;
  const std::int64_t to = (std::int64_t{task.position} + blockIdx.y) * row_bytes;
  constexpr int kLanes = kWhole ? 8 : 32;  // of a group
  for (int i = threadIdx.x / kLanes; i < 2 * all; i += kThreads / kLanes) {
    const bool is_key = i < all;
    const int at = is_key ? i : i - all, head = at / groups, group = at % groups;
    std::byte* out = reinterpret_cast<std::byte*>(is_key ? task.keys : task.values) + to;
    const Half* values = (is_key ? k : v) + from + head * dim + group * kGroupValues;
    std::byte* codes =
        out + head * run_bytes + group * static_cast<std::int64_t>(code_bytes(format, kGroupValues));
    std::byte* pair = out + pairs + at * static_cast<std::int64_t>(kGroupPairBytes);
    if constexpr (kWhole)
      quantize_whole_group<format>(values, codes, pair);
    else
      quantize_group<format>(values, static_cast<int>(row.values_of_group(group)), codes, pair);
  }
}

}  // namespace

void launch_append_coded_kv(const KvBatch& batch, std::int64_t head_dim, const Half* k, const Half* v,
                            std::int64_t stride, Stream stream) {
  const dim3 grid(static_cast<unsigned>(batch.count), static_cast<unsigned>(batch.most_rows));
  const RowFormat row{batch.format, DType::f16, head_dim};
  const bool whole =
      batch.aligned() && head_dim % kGroupValues == 0 && is_wide(stride) && is_wide(k) && is_wide(v);
  const auto choose = [whole](auto whole_groups, auto any) { return whole ? whole_groups : any; };
  const auto kernel =
      batch.format == StorageFormat::q8
          ? choose(append_coded<StorageFormat::q8, true>, append_coded<StorageFormat::q8, false>)
          : choose(append_coded<StorageFormat::q4, true>, append_coded<StorageFormat::q4, false>);
  kernel<<<grid, kThreads, 0, stream>>>(batch.tasks, row, k, v, stride);
  check_launch("append_coded");
}

}  // namespace optpipe::kernels::cuda
