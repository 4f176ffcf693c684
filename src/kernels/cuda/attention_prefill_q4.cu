#include "kernels/cuda/attention_prefill.cuh"

namespace optpipe::kernels::cuda {

bool launch_tile_attention_q4(const KvBatch& batch, std::int64_t head_dim, const AttentionRows& rows,
                              const Device& device, Stream stream) {
  return launch_tiles_for<CodedTiles<StorageFormat::q4>>(batch, head_dim, rows, device, stream);
}

}  // namespace optpipe::kernels::cuda
