// What each backend needs besides weights, keys and values, and hidden states. Pure arithmetic, so that any
// machine can tell what any other will take; the executors size their memory by it.
#pragma once

#include <cstdint>

#include "optpipe/base/storage_format.hpp"
#include "optpipe/base/units.hpp"
#include "optpipe/memory/policy.hpp"
#include "optpipe/model/slice.hpp"

namespace optpipe::planner {

enum class Backend : std::uint8_t { cpu, cuda };
const char* name_of(Backend backend);

// GPU batches between projection and feed-forward at once, at most, with attention on the host.
inline constexpr std::int64_t kHostSlots = 3;

struct BackendNeeds {
  DType hidden = DType::f32;  // format of hidden states
  DType kv = DType::f16;
  bool tables_whole = false;  // embedding tables lie wholly on the device or wholly on the host

  std::int64_t host_slots = 0;  // of rows of decode steps with attention on the host
  // On the device.
  Bytes attention_bytes = 0;  // q and attention output of the largest batch
  Bytes scratch_bytes = 0;    // what else computation writes inside a step
  Bytes library_bytes = 0;    // workspace of the library of products; quantized rows on their way to it
  Bytes widened_bytes = 0;    // the quantized matrices of one layer, as halves
  Bytes graph_bytes = 0;      // task lists of graphs; as much again in pinned memory
  Bytes decode_bytes = 0;  // with attention on the host: q, k, v and output of decode steps, host_slots times
  Bytes x_bytes = 0;       // with the X cache: XWorkspace
  // Pinned, on the host.
  Bytes small_bytes = 0;      // small arrays and gathered rows on their way to the device
  Bytes token_bytes = 0;      // ids of new tokens, on their way back
  Bytes host_rows_bytes = 0;  // with attention on the host: the same rows there
  Bytes link_bytes = 0;       // hidden states on their way between ranks
};

// What the needs depend on, of one rank.
struct BatchBounds {
  std::int64_t rows = 1;       // computed at once: prompts' tokens of the largest GPU batch, or part of one
  std::int64_t sequences = 1;  // in the largest GPU batch
  std::int64_t prompt = 1;     // tokens of the longest prompt
  std::int64_t positions = 1;  // that a new token attends to, at most
  std::int64_t micro_batches = 1;  // in flight
  std::int64_t gpu_batches = 1;    // in a micro-batch
  int parts = 1;                   // of a GPU batch in prefill
};

// Rows of q, k, v and attention output of a decode step, in `element` bytes a value.
Bytes decode_slot_bytes(const model::ModelConfig& config, const BatchBounds& bounds, Bytes element);

// With the X cache, what a stage attends to it with, in values (docs/x-cache.md). Whole prompts, so many rows
// at a time: X, keys and values of each. New tokens: for each head a query absorbed into Wk, then a sum of
// X; and the scores of heads over a context.
struct XWorkspace {
  std::int64_t prompt_rows = 0;   // [prompt_rows, h] three times
  std::int64_t absorbed = 0;      // [sequences, heads, h]
  std::int64_t score_stride = 0;  // of a head, whole groups of kScoreGroup
  std::int64_t scored_heads = 0;  // CPU: of one sequence at a time; CUDA: of all
  std::int64_t scores() const { return scored_heads * score_stride; }

  static constexpr std::int64_t kScoreGroup = 64;
};
XWorkspace x_workspace(const model::ModelConfig& config, const BatchBounds& bounds, Backend backend);

namespace cpu {

inline constexpr std::int64_t kChunkRows = 512;     // of a batch that are computed at once
inline constexpr std::int64_t kHeadChunkRows = 32;  // logits are wide: V values a row

BackendNeeds needs(const model::ModelConfig& config, const model::StageSlice& slice, DType weights,
                   const BatchBounds& bounds, bool x_cache = false);

}  // namespace cpu

namespace cuda {

inline constexpr std::int64_t kChunkRows = 4096;  // of a batch that are computed at once
inline constexpr std::int64_t kHeadChunkRows = 64;
inline constexpr std::int64_t kEmbeddedRows = 256;          // of token embeddings projected at once
inline constexpr Bytes kUploadSlots = 66;                   // steps whose small arrays may be under way
inline constexpr Bytes kLibraryBytes = Bytes{32} << 20;     // workspace of cuBLASLt
inline constexpr Bytes kWideningBytes = Bytes{64} << 20;    // rows of quantized weights, widened
inline constexpr Bytes kLinkChunk = 4 * kMiB;               // of hidden states; two a direction
inline constexpr Bytes kKvTaskBytes = 40, kDrawBytes = 16;  // kernels::cuda::KvTask, Draw

// `through_host`: hidden states travel between ranks through host memory.
BackendNeeds needs(const model::ModelConfig& config, const model::StageSlice& slice,
                   const BatchBounds& bounds, bool through_host, const memory::Policy& policy);

// The six matrices of a layer in fp16.
Bytes layer_matrix_bytes(const model::ModelConfig& config);

// Rows of the buffer of q: room for q of every row of a prompt, and for q, k and v of every new token.
std::int64_t q_rows(const BatchBounds& bounds);
// Small arrays of one step.
Bytes upload_slot_bytes(const BatchBounds& bounds);
// Ids of the new tokens of one GPU batch, each part of it at a whole 16 bytes.
Bytes token_buffer_bytes(const BatchBounds& bounds);
// Where those of a part begin; `before`: sequences of the parts before.
constexpr std::int64_t first_token_of_part(std::int64_t before, int part) {
  constexpr std::int64_t kIds = 4;  // in 16 bytes
  return (before + kIds - 1) / kIds * kIds + kIds * part;
}

}  // namespace cuda

}  // namespace optpipe::planner
