#include "kernels/cuda/attention_tiles.cuh"
#include "kernels/cuda/launches.hpp"
#include "kernels/cuda/status.hpp"

namespace optpipe::kernels::cuda {
namespace {

constexpr float kLog2e = 1.44269504f;

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
template <class Shape>
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
  const std::int64_t kv_stride = std::int64_t{task.heads} * dim;
  const std::int64_t at_row = std::int64_t{task.first_row} + first;
  const int at_column = (task.first_head + head) * dim;
  const auto copy_step = [&](int step) {
    const std::int64_t at = std::int64_t{step} * Shape::kKeys * kv_stride + head * dim;
    const int left = end - step * Shape::kKeys, buffer = step % Shape::kStages * kBuffer;
    copy_rows<Shape, Shape::kKeys>(keys + buffer, {task.keys + at, kv_stride, left}, dim);
    copy_rows<Shape, Shape::kKeys>(values + buffer, {task.values + at, kv_stride, left}, dim);
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

template <class Shape>
bool launch(const KvBatch& batch, std::int64_t head_dim, const AttentionRows& rows, const Device& device,
            Stream stream) {
  if (Shape::kSharedBytes > device.shared_bytes) return false;
  check(cudaFuncSetAttribute(attend_tiles<Shape>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                             Shape::kSharedBytes),
        "cudaFuncSetAttribute");
  const dim3 grid(static_cast<unsigned>((batch.most_rows + Shape::kQueries - 1) / Shape::kQueries),
                  static_cast<unsigned>(batch.most_heads), static_cast<unsigned>(batch.count));
  attend_tiles<Shape>
      <<<grid, Shape::kThreads, Shape::kSharedBytes, stream>>>(batch.tasks, static_cast<int>(head_dim), rows);
  check_launch("attend_tiles");
  return true;
}

// The large shape where the device has the copy engine's instructions and the room, or else the small one.
template <int kDim>
bool launch_for(const KvBatch& batch, std::int64_t head_dim, const AttentionRows& rows, const Device& device,
                Stream stream) {
  using Large = TileShape<kDim, 4, 2, 64, 2>;
  using Small = TileShape<kDim, 4, 1, 64, 1>;
  if (device.capability >= 80 && batch.most_rows > Small::kQueries &&
      launch<Large>(batch, head_dim, rows, device, stream))
    return true;
  return launch<Small>(batch, head_dim, rows, device, stream);
}

}  // namespace

bool launch_tile_attention(const KvBatch& batch, std::int64_t head_dim, const AttentionRows& rows,
                           const Device& device, Stream stream) {
  if (head_dim <= 32) return launch_for<32>(batch, head_dim, rows, device, stream);
  if (head_dim <= 64) return launch_for<64>(batch, head_dim, rows, device, stream);
  if (head_dim <= 80) return launch_for<80>(batch, head_dim, rows, device, stream);
  if (head_dim <= 96) return launch_for<96>(batch, head_dim, rows, device, stream);
  if (head_dim <= 128) return launch_for<128>(batch, head_dim, rows, device, stream);
  return false;
}

}  // namespace optpipe::kernels::cuda
