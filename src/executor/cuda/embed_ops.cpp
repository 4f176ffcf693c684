// Ids and positions into hidden states, from tables on the device or on the host.
//
// Kernels read tables in pinned memory where they lie: a row is contiguous and read once, as fast as the link
// goes, and no core takes part, which in decode would first have to be got from attention.
#include <algorithm>

#include "executor/cuda/cuda_ops.hpp"

namespace optpipe::executor::cuda {

namespace gpu = kernels::cuda;
using kernels::Epilogue;
using model::Role;
using planner::cuda::kEmbeddedRows;

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

// A table whole on the device or whole on the host (BackendNeeds::tables_whole), where the GPU reaches it.
gpu::Matrix CudaOps::table(Role role) const {
  gpu::Matrix table = to_gpu(weights_.table(role));
  if (weights_.is_on_device(role)) return table;
  for (gpu::Piece& piece : table.pieces) {
    if (piece.rows == 0) continue;
    void* there = nullptr;
    check(cudaHostGetDevicePointer(&there, const_cast<Half*>(piece.data), 0), "cudaHostGetDevicePointer");
    piece.data = static_cast<const Half*>(there);
  }
  return table;
}

// Of positions, whose ids are counted from the row at which the returned table begins. Prompts share their
// positions: rows on the host cross once, not once a prompt.
gpu::Matrix CudaOps::position_table(std::span<std::int32_t> positions) {
  const gpu::Matrix whole = table(Role::position_embedding);
  if (weights_.is_on_device(Role::position_embedding) || positions.empty()) return whole;
  const auto [least, most] = std::ranges::minmax(positions);
  const std::int64_t count = most - least + 1;
  const Bytes row_bytes = static_cast<Bytes>(config_.hidden) * sizeof(Half);
  const gpu::Piece& rows = whole.pieces[0];
  const bool in_words = row_bytes % 16 == 0;
  if (2 * count > std::ssize(positions) || count > normed_rows_ || most >= rows.rows || !in_words)
    return whole;
  gpu::copy_small(context_, normed_, rows.data + least * config_.hidden,
                  static_cast<Bytes>(count) * row_bytes);
  for (auto& position : positions) position -= least;
  return {.columns = config_.hidden, .pieces = {gpu::Piece{normed_, count}}};
}

void CudaOps::embed(const BatchRows& rows, std::span<const std::int32_t> ids, Half* x) {
  const std::int64_t h = config_.hidden;
  auto positions = position_rows(rows);
  const gpu::Matrix by_position = position_table(positions);
  const gpu::Lookup tokens{table(Role::token_embedding), uploads_.upload(ids)};
  const gpu::Lookup places{by_position, uploads_.upload(std::span<const std::int32_t>(positions))};
  const auto projection = weights_.project_in();
  if (!projection) return gpu::embed(context_, tokens, places, rows.rows, h, false, x);
  const gpu::Lookup none{};
  for (std::int64_t begin = 0; begin < rows.rows; begin += kEmbeddedRows) {
    const auto count = std::min(kEmbeddedRows, rows.rows - begin);
    gpu::embed(context_, {tokens.table, tokens.ids + begin}, none, count, config_.embedding, false,
               embedded_);
    gpu::linear(context_, embedded_, config_.embedding, count, to_gpu(*projection), nullptr, Epilogue::none,
                x + begin * h, h);
  }
  gpu::embed(context_, none, places, rows.rows, h, true, x);
}

}  // namespace optpipe::executor::cuda
