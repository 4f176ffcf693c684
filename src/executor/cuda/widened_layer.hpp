// The quantized matrices of one layer as halves, so that a layer is widened once for all batches that pass
// it, and each product is one. Every schedule passes a layer with all batches of a micro-batch before any of
// them uses the same matrix of the next layer, so one layer is enough; projections of the next layer may come
// between feed-forwards of this one, so each matrix has a place and an owner of its own.
#pragma once

#include <array>
#include <optional>

#include "optpipe/kernels/cuda.hpp"
#include "optpipe/memory/arena.hpp"
#include "optpipe/model/config.hpp"
#include "optpipe/model/tensors.hpp"

namespace optpipe::executor::cuda {

class WidenedLayer {
 public:
  // `bytes`: 0, and nothing is kept, or planner::cuda::layer_matrix_bytes. Works on the context's stream.
  WidenedLayer(const model::ModelConfig& config, Bytes bytes, memory::MemoryResource& device,
               kernels::cuda::Context& context);

  // The matrix of a group (whose contents never change, wherever `found` lies) as products should read it: as
  // halves, which are enqueued unless they are there, or as `found` itself where that is not quantized or
  // nothing is kept. q, k and v stand side by side.
  kernels::cuda::Matrix matrix(std::size_t group, model::Role role, const kernels::cuda::Matrix& found);

  // Nothing of what is there is used again.
  void forget() { groups_.fill({}); }

 private:
  static constexpr std::size_t kMatrices = 6;

  kernels::cuda::Context& context_;
  memory::Arena arena_;
  std::array<kernels::cuda::Half*, kMatrices> places_{};
  std::array<std::optional<std::size_t>, kMatrices> groups_{};  // whose halves stand there
};

}  // namespace optpipe::executor::cuda
