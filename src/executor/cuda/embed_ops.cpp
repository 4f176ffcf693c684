// Ids and positions into hidden states, from tables on the device or on the host.
#include <algorithm>
#include <functional>

#include "executor/cuda/cuda_ops.hpp"

namespace optpipe::executor::cuda {

namespace gpu = kernels::cuda;
using kernels::Epilogue;
using model::Role;
using planner::cuda::kGatherRows;

namespace {

std::vector<std::int32_t> position_rows(const BatchRows& rows) {
  std::vector<std::int32_t> positions(static_cast<std::size_t>(rows.rows));
  for (const RowSpan& span : rows.spans)
    for (std::int64_t i = 0; i < span.count; ++i)
      positions[static_cast<std::size_t>(span.first_row + i)] =
          static_cast<std::int32_t>(span.position + i + model::kPositionOffset);
  return positions;
}

}  // namespace

void CudaOps::embed(const BatchRows& rows, std::span<const std::int32_t> ids, Half* x, int threads) {
  if (weights_.tables_on_device())
    embed_from_device(rows, ids, x);
  else
    embed_from_host(rows, ids, x, threads);
}

void CudaOps::embed_from_device(const BatchRows& rows, std::span<const std::int32_t> ids, Half* x) {
  const std::int64_t h = config_.hidden;
  const auto positions = position_rows(rows);
  const gpu::Lookup tokens{to_gpu(weights_.table(Role::token_embedding)), uploads_.upload(ids)};
  const gpu::Lookup places{to_gpu(weights_.table(Role::position_embedding)),
                           uploads_.upload(std::span<const std::int32_t>(positions))};
  const auto projection = weights_.project_in();
  if (!projection) return gpu::embed(context_, tokens, places, rows.rows, h, false, x);
  const gpu::Lookup none{};
  for (std::int64_t begin = 0; begin < rows.rows; begin += kGatherRows) {
    const auto count = std::min(kGatherRows, rows.rows - begin);
    gpu::embed(context_, {tokens.table, tokens.ids + begin}, none, count, config_.embedding, false,
               embedded_);
    gpu::linear(context_, embedded_, config_.embedding, count, to_gpu(*projection), nullptr, Epilogue::none,
                x + begin * h, h);
  }
  gpu::embed(context_, none, places, rows.rows, h, true, x);
}

// The CPU gathers rows into pinned chunks; without a projection it also adds the positions, as the kernel
// would: in fp32, rounded once.
void CudaOps::embed_from_host(const BatchRows& rows, std::span<const std::int32_t> ids, Half* x,
                              int threads) {
  const std::int64_t h = config_.hidden, e = config_.embedding;
  const auto projection = weights_.project_in();
  const auto positions = position_rows(rows);
  for (std::int64_t begin = 0, turn = 0; begin < rows.rows; begin += kGatherRows, ++turn) {
    const auto count = std::min(kGatherRows, rows.rows - begin);
    const auto half = static_cast<std::size_t>(turn % 2);
    check(cudaEventSynchronize(gather_done_[half].get()), "cudaEventSynchronize");
    auto* tokens_out = reinterpret_cast<std::byte*>(gather_[half].data());
    auto* places_out = tokens_out + static_cast<std::size_t>(kGatherRows * e) * sizeof(Half);
    kernels::for_parts_of_rows(count, threads, [&](std::int64_t first, std::int64_t part) {
      std::vector<float> token(static_cast<std::size_t>(e)), place(static_cast<std::size_t>(h));
      for (std::int64_t i = first; i < first + part; ++i) {
        const auto row = static_cast<std::size_t>(begin + i);
        weights_.gather(Role::token_embedding, ids[row], token);
        weights_.gather(Role::position_embedding, positions[row], place);
        if (!projection)
          std::transform(token.begin(), token.end(), place.begin(), token.begin(), std::plus<>());
        kernels::from_float(token.data(), tokens_out + static_cast<std::size_t>(i * e) * sizeof(Half),
                            DType::f16, e);
        if (projection)
          kernels::from_float(place.data(), places_out + static_cast<std::size_t>(i * h) * sizeof(Half),
                              DType::f16, h);
      }
    });
    const auto copy = [&](void* to, const void* from, std::int64_t columns) {
      check(cudaMemcpyAsync(to, from, static_cast<std::size_t>(count * columns) * sizeof(Half),
                            cudaMemcpyHostToDevice, stream_),
            "cudaMemcpyAsync");
    };
    if (!projection) {
      copy(x + begin * h, tokens_out, h);
    } else {
      copy(embedded_, tokens_out, e);
      copy(x + begin * h, places_out, h);
      gpu::linear(context_, embedded_, e, count, to_gpu(*projection), nullptr, Epilogue::add, x + begin * h,
                  h);
    }
    check(cudaEventRecord(gather_done_[half].get(), stream_), "cudaEventRecord");
  }
}

}  // namespace optpipe::executor::cuda
