// Prompts on the tensor cores: the kernel, over keys and values of any format.
#pragma once

#include "kernels/cuda/attention_tiles.cuh"
#include "kernels/cuda/coded.cuh"
#include "kernels/cuda/launches.hpp"
#include "kernels/cuda/status.hpp"

namespace optpipe::kernels::cuda {

constexpr float kLog2e = 1.44269504f;

// Keys and values of one head at positions [first, first + left).
struct HeadView {
  int heads, head, dim, first, left;
};

// kKeys positions of keys or values to shared memory; those behind `left` are zeros.
struct NativeTiles {
  template <class Shape>
  static __device__ void copy(Half* to, const Half* from, const HeadView& view) {
    const std::int64_t stride = std::int64_t{view.heads} * view.dim;
    copy_rows<Shape, Shape::kKeys>(to, {from + view.first * stride + view.head * view.dim, stride, view.left},
                                   view.dim);
  }
};

// The same, widened on the way.
template <StorageFormat format>
struct CodedTiles {
  template <class Shape>
  static __device__ void copy(Half* to, const Half* from, const HeadView& view) {
    constexpr int kUnits = Shape::kDim / 8;
    const RowFormat row{format, DType::f16, view.dim};
    const auto row_bytes = static_cast<std::int64_t>(row.row_bytes(view.heads));
    const std::byte* codes = reinterpret_cast<const std::byte*>(from) + view.first * row_bytes +
                             view.head * static_cast<std::int64_t>(row.run_code_bytes());
    const std::byte* pairs = reinterpret_cast<const std::byte*>(from) + view.first * row_bytes +
                             static_cast<std::int64_t>(row.pairs_offset(view.heads)) +
                             view.head * row.groups() * static_cast<std::int64_t>(kGroupPairBytes);
    for (int i = threadIdx.x; i < Shape::kKeys * kUnits; i += Shape::kThreads) {
      const int position = i / kUnits, column = i % kUnits * 8;
      const CodeUnit<format> unit(i % kUnits, view.dim);
      uint4 packed = {0, 0, 0, 0};
      if (position < view.left && unit.exists()) {
        const std::int64_t at = position * row_bytes;
        const std::uint32_t pair = load_pair<true>(pairs + at + kGroupPairBytes * unit.group);
        packed = pack(CodeUnit<format>::widen(unit.template load<true>(codes + at), range_of(pair)));
      }
      Half* out = to + position * Shape::kPitch;  // padding behind the head is zeros too
      *reinterpret_cast<uint2*>(out + (unit.exists() ? unit.column(0) : column)) = {packed.x, packed.y};
      *reinterpret_cast<uint2*>(out + (unit.exists() ? unit.column(4) : column + 4)) = {packed.z, packed.w};
    }
  }
};

// The results of a warp's queries, from shared memory to their rows.
template <class Shape>
__device__ void write_rows(Half* out, std::int64_t stride, const Half* from, int rows, int dim) {
  constexpr int kUnits = Shape::kDim / 8;
  for (int i = threadIdx.x % 32; i < 16 * Shape::kTiles * kUnits; i += 32) {
    const int row = i / kUnits, column = i % kUnits * 8;
    if (row < rows && column < dim)
      *reinterpret_cast<uint4*>(out + row * stride + column) =
          *reinterpret_cast<const uint4*>(from + row * Shape::kPitch + column);
  }
}

// A block: kQueries new rows of one head of one task. Later rows see more positions: they come first, so that
// the last blocks to run are short.
template <class Shape, class Tiles>
__global__ void __launch_bounds__(Shape::kThreads)
    attend_tiles(const KvTask* tasks, int dim, AttentionRows rows) {
  extern __shared__ __align__(16) Half shared[];
  const KvTask task = tasks[blockIdx.z];
  const int head = blockIdx.y, first = static_cast<int>(gridDim.x - 1 - blockIdx.x) * Shape::kQueries;
  if (head >= task.heads || first >= task.rows) return;
  constexpr int kBuffer = Shape::kKeys * Shape::kPitch;
  Half* queries = shared;
  Half* keys = queries + Shape::kQueries * Shape::kPitch;
  Half* values = keys + Shape::kStages * kBuffer;

  const int count = min(Shape::kQueries, task.rows - first);  // queries that exist
  const int end = task.position + first + count;              // positions that any of them sees
  const int steps = (end + Shape::kKeys - 1) / Shape::kKeys;
  const std::int64_t at_row = std::int64_t{task.first_row} + first;
  const int at_column = (task.first_head + head) * dim;
  const auto copy_step = [&](int step) {
    const int first_key = step * Shape::kKeys, buffer = step % Shape::kStages * kBuffer;
    const HeadView view{task.heads, head, dim, first_key, end - first_key};
    Tiles::template copy<Shape>(keys + buffer, task.keys, view);
    Tiles::template copy<Shape>(values + buffer, task.values, view);
    end_copy_group();
  };
  copy_rows<Shape, Shape::kQueries>(queries,
                                    {rows.q + at_row * rows.q_stride + at_column, rows.q_stride, count}, dim);
  copy_step(0);

  const int warp_first = static_cast<int>(threadIdx.x / 32) * 16 * Shape::kTiles;
  Half* warp_queries = queries + warp_first * Shape::kPitch;
  TileAttention<Shape> attention(warp_queries, task.position + first + warp_first,
                                 rsqrtf(static_cast<float>(dim)) * kLog2e);
  for (int step = 0; step < steps; ++step) {
    if (Shape::kStages > 1 && step + 1 < steps) {
      copy_step(step + 1);
      wait_for_copies<1>();
    } else {
      wait_for_copies<0>();
    }
    __syncthreads();
    const int buffer = step % Shape::kStages * kBuffer;
    attention.attend(keys + buffer, values + buffer, step * Shape::kKeys);
    __syncthreads();  // before the next copy overwrites what was just used
    if (Shape::kStages == 1 && step + 1 < steps) copy_step(step + 1);
  }
  __syncwarp();
  attention.store(warp_queries);  // the queries are no longer needed
  __syncwarp();
  write_rows<Shape>(rows.out + (at_row + warp_first) * rows.out_stride + at_column, rows.out_stride,
                    warp_queries, count - warp_first, dim);
}

template <class Shape, class Tiles>
bool launch_tiles(const KvBatch& batch, std::int64_t head_dim, const AttentionRows& rows,
                  const Device& device, Stream stream) {
  if (Shape::kSharedBytes > device.shared_bytes) return false;
  check(cudaFuncSetAttribute(attend_tiles<Shape, Tiles>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                             Shape::kSharedBytes),
        "cudaFuncSetAttribute");
  const dim3 grid(static_cast<unsigned>((batch.most_rows + Shape::kQueries - 1) / Shape::kQueries),
                  static_cast<unsigned>(batch.most_heads), static_cast<unsigned>(batch.count));
  attend_tiles<Shape, Tiles>
      <<<grid, Shape::kThreads, Shape::kSharedBytes, stream>>>(batch.tasks, static_cast<int>(head_dim), rows);
  check_launch("attend_tiles");
  return true;
}

// The large shape where the device has the copy engine's instructions and the room, or else the small one.
template <int kDim, class Tiles>
bool launch_for(const KvBatch& batch, std::int64_t head_dim, const AttentionRows& rows, const Device& device,
                Stream stream) {
  using Large = TileShape<kDim, 4, 2, 64, 2>;
  using Small = TileShape<kDim, 4, 1, 64, 1>;
  if (device.capability >= 80 && batch.most_rows > Small::kQueries &&
      launch_tiles<Large, Tiles>(batch, head_dim, rows, device, stream))
    return true;
  return launch_tiles<Small, Tiles>(batch, head_dim, rows, device, stream);
}

// Of the head dimensions there are.
template <class Tiles>
bool launch_tiles_for(const KvBatch& batch, std::int64_t head_dim, const AttentionRows& rows,
                      const Device& device, Stream stream) {
  if (head_dim <= 32) return launch_for<32, Tiles>(batch, head_dim, rows, device, stream);
  if (head_dim <= 64) return launch_for<64, Tiles>(batch, head_dim, rows, device, stream);
  if (head_dim <= 80) return launch_for<80, Tiles>(batch, head_dim, rows, device, stream);
  if (head_dim <= 96) return launch_for<96, Tiles>(batch, head_dim, rows, device, stream);
  if (head_dim <= 128) return launch_for<128, Tiles>(batch, head_dim, rows, device, stream);
  return false;
}

}  // namespace optpipe::kernels::cuda
