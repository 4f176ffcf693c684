#include "kernels/cuda/attention_prefill.cuh"

namespace optpipe::kernels::cuda {

bool launch_tile_attention(const KvBatch& batch, std::int64_t head_dim, const AttentionRows& rows,
                           const Device& device, Stream stream) {
  if (batch.format == StorageFormat::q4)
    return launch_tile_attention_q4(batch, head_dim, rows, device, stream);
  if (batch.format == StorageFormat::q8)
    return launch_tile_attention_q8(batch, head_dim, rows, device, stream);
  return launch_tiles_for<NativeTiles>(batch, head_dim, rows, device, stream);
}

}  // namespace optpipe::kernels::cuda
