// Launches of kernels: arguments are valid, pointers are device pointers, each enqueues and returns, and
// throws SystemError where the launch fails.
#pragma once

#include "kernels/cuda/context.hpp"
#include "kernels/cuda/matmul.hpp"
#include "optpipe/kernels/cuda.hpp"

namespace optpipe::kernels::cuda {

// A product of any shape and alignment, for those that the library does not take; bias and ReLU not applied.
void launch_plain_product(const Product& product, Stream stream);

// *sum = over the bits of m rows and their places: equal rows have equal sums, others hardly ever. Rows are
// of halves or floats.
void launch_sum_of_bits(const void* rows, std::int64_t m, Bytes row_bytes, Bytes stride_bytes,
                        unsigned long long* sum, Stream stream);
// Numbers between -1/2 and 1/2, the same each time.
void launch_noise(Half* out, std::int64_t count, Stream stream);

// out[m, n] = activation(out + bias), bias [n] or null, in place.
enum class Activation : std::uint8_t { none, relu, gelu };
void launch_epilogue(Half* out, std::int64_t m, std::int64_t n, std::int64_t stride, const Half* bias,
                     Activation activation, Stream stream);

// Multiples of 16 bytes, at addresses that are.
void launch_copy_words(void* to, const void* from, Bytes bytes, Stream stream);

void launch_widen_rows(const std::byte* rows, std::int64_t count, const RowFormat& row, Half* out,
                       Stream stream);
// Of widen_prompts below in cuda.hpp; the tasks of what is widened go to `widened`, in device memory.
void launch_widen_prompts(const KvBatch& batch, std::int64_t head_dim, const WidenedKv& to, KvTask* widened,
                          Stream stream);

void launch_embed(const Lookup& tokens, const Lookup& positions, std::int64_t rows, std::int64_t h,
                  bool accumulate, Half* out, Stream stream);
void launch_layer_norm(const Half* x, std::int64_t m, std::int64_t h, const Half* weight, const Half* bias,
                       Half* out, Stream stream);
void launch_append_kv(const KvBatch& batch, std::int64_t head_dim, const Half* k, const Half* v,
                      std::int64_t stride, bool wide, Stream stream);
// The same into quantized segments.
void launch_append_coded_kv(const KvBatch& batch, std::int64_t head_dim, const Half* k, const Half* v,
                            std::int64_t stride, Stream stream);

void launch_take_heads(const KvBatch& batch, std::int64_t head_dim, const Half* from, Half* to,
                       std::int64_t stride, bool wide, Stream stream);

// Where blocks that share a context leave what they found: of each task, head, part of the longest context
// and group of a block's lanes, the largest score, the total, and the sums [dim].
struct Partials {
  float* data = nullptr;
  int parts = 0, groups = 0, dim = 0;
};
inline constexpr int kContextPart = 128;  // positions

// One query a block: of a task's only row, its context shared by `splits` blocks, or (splits == 0) of each of
// its rows. `wide`: loads of 16 bytes are possible everywhere. `partials`: partial_floats(...) floats, used
// from two splits on.
struct RowAttention {
  KvBatch batch;
  std::int64_t head_dim = 0;
  AttentionRows rows;
  bool wide = false;
  int splits = 0;
  float* partials = nullptr;
};
// Of tasks of one row each, rows.sparsity < 1. A head's scores are in shared memory.
inline constexpr std::int64_t kMostSparseContext = 10 << 10;
void launch_sparse_attention(const KvBatch& batch, std::int64_t head_dim, const AttentionRows& rows,
                             bool wide, Stream stream);
std::int64_t partial_floats(const KvBatch& batch, std::int64_t head_dim, bool wide);
void launch_row_attention(const RowAttention& attention, Stream stream);
// Its kernels for a format and a head dimension.
struct RowKernels {
  void (*attend)(const KvTask*, int, AttentionRows, int, Partials);
  void (*merge)(const KvTask*, AttentionRows, Partials);
  int groups;
};
RowKernels coded_row_kernels(StorageFormat format, std::int64_t head_dim, bool wide);

// Tiles on the tensor cores; false where the head dimension or the device's shared memory does not allow it.
// Needs 16-byte alignment of everything.
bool launch_tile_attention(const KvBatch& batch, std::int64_t head_dim, const AttentionRows& rows,
                           const Device& device, Stream stream);
bool launch_tile_attention_q4(const KvBatch& batch, std::int64_t head_dim, const AttentionRows& rows,
                              const Device& device, Stream stream);
bool launch_tile_attention_q8(const KvBatch& batch, std::int64_t head_dim, const AttentionRows& rows,
                              const Device& device, Stream stream);

void launch_argmax(const float* logits, std::int64_t rows, std::int64_t vocabulary, std::int64_t stride,
                   Token* tokens, Stream stream);
void launch_sample(const float* logits, std::int64_t rows, std::int64_t vocabulary, std::int64_t stride,
                   const SamplingOptions& options, const Draw* draws, Token* tokens, Stream stream);

}  // namespace optpipe::kernels::cuda
