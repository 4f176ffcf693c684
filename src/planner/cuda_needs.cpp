#include <algorithm>

#include "optpipe/memory/arena.hpp"
#include "optpipe/planner/backend.hpp"

namespace optpipe::planner::cuda {
namespace {

using memory::aligned;

constexpr std::int64_t kMostSegments = 4;  // of one sequence: a head range on each tier
constexpr Bytes kHalf = 2, kId = 4;

Bytes halves(std::int64_t rows, std::int64_t columns) {
  return aligned(static_cast<Bytes>(rows * columns) * kHalf);
}

Bytes array(std::int64_t count, Bytes element) { return aligned(static_cast<Bytes>(count) * element); }

Bytes scratch_bytes(const model::ModelConfig& config, const model::StageSlice& slice,
                    const BatchBounds& bounds, bool x_cache) {
  const auto chunk = std::min(bounds.rows, kChunkRows);
  // Normed rows, and keys and values on their way to the cache.
  Bytes bytes = (x_cache ? 1 : 3) * halves(chunk, config.hidden) + halves(chunk, config.ffn) +
                kUploadSlots * upload_slot_bytes(bounds);
  if (slice.embedding || slice.head) bytes += halves(std::max(chunk, kEmbeddedRows), config.embedding);
  if (slice.head) bytes += array(kHeadChunkRows * config.vocabulary, sizeof(float));
  return bytes + array(bounds.sequences, kId);
}

// Two graphs a micro-batch, because hidden states of successive token steps may stand in either of two sets
// of work buffers; one task a sequence, because only keys and values that stay on the device come here.
Bytes graph_bytes(const model::StageSlice& slice, const BatchBounds& bounds) {
  return static_cast<Bytes>(2 * bounds.micro_batches * bounds.gpu_batches * slice.layers) *
         array(bounds.sequences, kKvTaskBytes);
}

}  // namespace

std::int64_t q_rows(const BatchBounds& bounds) {
  return std::max(bounds.rows, bounds.sequences) + 2 * bounds.sequences;
}

// Ids and positions of all rows, or tasks of all segments for append and attention, or ids and draws of the
// head.
Bytes upload_slot_bytes(const BatchBounds& bounds) {
  const Bytes ids = 2 * array(bounds.rows, kId);
  const Bytes tasks = array(bounds.sequences * kMostSegments, kKvTaskBytes) *
                      static_cast<Bytes>((bounds.rows + kChunkRows - 1) / kChunkRows + 1);
  const Bytes head = array(bounds.sequences, kId) + array(bounds.sequences, kDrawBytes);
  return aligned(std::max({ids, tasks, head}) + 1024);
}

Bytes token_buffer_bytes(const BatchBounds& bounds) {
  if (bounds.parts == 1) return array(bounds.sequences, kId);
  return array(first_token_of_part(bounds.sequences, bounds.parts), kId);
}

Bytes layer_matrix_bytes(const model::ModelConfig& config) {
  return aligned(static_cast<Bytes>(4 * config.hidden * config.hidden + 2 * config.hidden * config.ffn) *
                 kHalf);
}

BackendNeeds needs(const model::ModelConfig& config, const model::StageSlice& slice,
                   const BatchBounds& bounds, bool through_host, const memory::Policy& policy) {
  const bool x_cache = policy.x_cache, widens = is_quantized(policy.weight_format);
  BackendNeeds needs{.hidden = DType::f16, .kv = DType::f16, .tables_whole = true};
  needs.attention_bytes = halves(q_rows(bounds), config.hidden) + halves(bounds.rows, config.hidden);
  needs.scratch_bytes = scratch_bytes(config, slice, bounds, x_cache);
  needs.library_bytes = kLibraryBytes + (widens ? kWideningBytes : 0);
  if (widens && policy.keep_widened && slice.layers > 0) needs.widened_bytes = layer_matrix_bytes(config);
  needs.graph_bytes = graph_bytes(slice, bounds);
  needs.small_bytes = kUploadSlots * upload_slot_bytes(bounds);
  needs.token_bytes =
      static_cast<Bytes>(bounds.micro_batches * bounds.gpu_batches) * token_buffer_bytes(bounds);
  const int directions =
      through_host ? (slice.sends_hidden() ? 1 : 0) + (slice.receives_hidden() ? 1 : 0) : 0;
  needs.link_bytes = static_cast<Bytes>(2 * directions) * kLinkChunk;
  if (x_cache) {
    const XWorkspace work = x_workspace(config, bounds, Backend::cuda);
    needs.x_bytes = 3 * halves(work.prompt_rows, config.hidden) + halves(1, work.absorbed) +
                    array(work.scores(), sizeof(float)) + halves(1, work.scores());
  }
  return needs;
}

}  // namespace optpipe::planner::cuda
