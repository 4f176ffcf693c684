// Launches of attention over X; as launches.hpp.
#pragma once

#include "kernels/cuda/context.hpp"
#include "optpipe/kernels/cuda_x.hpp"

namespace optpipe::kernels::cuda {

void launch_append_x(const KvBatch& batch, std::int64_t h, const Half* x, bool wide, Stream stream);
void launch_gather_x(const KvBatch& batch, std::int64_t h, Half* x, bool wide, Stream stream);

// Heads [first, first + count), whose rows of a weight stand in `weight` alone, in fp16.
struct HeadRange {
  int first = 0, count = 0;
  Matrix weight;
};
// absorbed[row, head, :] = Wkᵀ · q · head_dim^-0.5 · log2(e); out[row, head] = Wv · absorbed[row, head, :] +
// bv. `wide`: loads of 16 bytes are possible everywhere, and the device copies to shared memory by itself.
void launch_absorb(const XAttention& a, const HeadRange& heads, bool wide, Stream stream);
void launch_project(const XAttention& a, const HeadRange& heads, bool wide, Stream stream);

// scores = absorbed · Xᵀ; weights = softmax of them; absorbed = weights · X.
void launch_scores(const KvBatch& batch, const XAttention& a, bool wide, Stream stream);
void launch_softmax(const KvBatch& batch, const XAttention& a, Stream stream);
void launch_sums(const KvBatch& batch, const XAttention& a, bool wide, Stream stream);

}  // namespace optpipe::kernels::cuda
