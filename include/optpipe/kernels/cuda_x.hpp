// Attention over stored inputs X of the attention block on one GPU (docs/x-cache.md); the conventions are
// those of cuda.hpp. Of a task (KvTask) `keys` is X [capacity, h]; values and heads do not count.
#pragma once

#include "optpipe/kernels/cuda.hpp"

namespace optpipe::kernels::cuda {

// X[position + i, :] = x[first_row + i, :] for the new rows of each task, x [rows, h] of the packed batch;
// and the other way round.
void append_x(Context& context, const KvBatch& batch, std::int64_t h, const Half* x);
void gather_x(Context& context, const KvBatch& batch, std::int64_t h, Half* x);

// Of a layer and a batch of new tokens.
struct XAttention {
  std::int64_t heads = 0, head_dim = 0;
  Matrix k_weight, v_weight;     // [h, h]
  const Half* v_bias = nullptr;  // [h] or null; that of keys falls out of the softmax
  std::int64_t rows = 0;         // of q and out, [rows, h]
  const Half* q = nullptr;
  Half* out = nullptr;  // must not overlap q
  // Workspaces: [rows, heads, h]; [rows, heads, score_stride] twice. A stride of at least the longest
  // context, a multiple of 64.
  Half* absorbed = nullptr;
  float* scores = nullptr;
  Half* weights = nullptr;
  std::int64_t score_stride = 0;
};
// For each task of one row and each of its heads: out = softmax(q · kᵀ · head_dim^-0.5) · v with k = Wk · X +
// bk and v = Wv · X + bv, by way of (Wkᵀ · q) · X and Wv · (p · X) + bv: neither keys nor values arise. Tasks
// of no row are left alone. Sums are in fp32 and in an order that depends on an element alone; queries
// absorbed into Wk, weights p, and weighted sums of X are rounded to fp16 on the way.
void attention_x(Context& context, const KvBatch& batch, const XAttention& attention);

}  // namespace optpipe::kernels::cuda
