// Hidden states into logits and the next tokens.
#include <algorithm>

#include "executor/cuda/cuda_ops.hpp"

namespace optpipe::executor::cuda {

namespace gpu = kernels::cuda;
using kernels::Epilogue;
using model::Role;
using planner::cuda::kHeadChunkRows;

void CudaOps::sample(std::size_t group, std::int32_t slot, const BatchRows& rows, const Half* x,
                     const StageOptions& options, std::int32_t* tokens) {
  const Use use{group, slot};
  const std::int64_t h = config_.hidden, vocabulary = config_.vocabulary;
  std::vector<std::int32_t> last_rows;
  std::vector<gpu::Draw> draws;
  for (const RowSpan& span : rows.spans) {
    last_rows.push_back(static_cast<std::int32_t>(span.first_row + span.count - 1));
    draws.push_back({static_cast<std::uint64_t>(span.index), static_cast<std::uint64_t>(span.age)});
  }
  const auto* rows_there = uploads_.upload(std::span<const std::int32_t>(last_rows));
  const auto* draws_there = uploads_.upload(std::span<const gpu::Draw>(draws));
  for (std::size_t begin = 0; begin < rows.spans.size(); begin += kHeadChunkRows) {
    const auto count =
        std::min<std::int64_t>(kHeadChunkRows, static_cast<std::int64_t>(rows.spans.size() - begin));
    gpu::gather_rows(context_, x, rows_there + begin, count, h, normed_);
    const Half* input = normed_;
    if (config_.final_norm)
      norm(use, Role::output_norm_weight, Role::output_norm_bias, normed_, count, normed_);
    if (config_.has_projection()) {
      linear(use, Role::project_out, Role::count, input, count, Epilogue::none, embedded_);
      input = embedded_;
    }
    gpu::linear_f32(context_, input, config_.embedding, count, matrix(use, Role::lm_head), logits_,
                    vocabulary);
    if (options.on_logits) observe(rows, begin, count, options.on_logits);
    if (!options.sampling.sample) {
      gpu::argmax(context_, logits_, count, vocabulary, vocabulary, chosen_ + begin);
      continue;
    }
    gpu::sample(context_, logits_, count, vocabulary, vocabulary, options.sampling, draws_there + begin,
                chosen_ + begin);
    gpu::copy_small(context_, tokens + begin, chosen_ + begin,
                    static_cast<Bytes>(count) * sizeof(std::int32_t));
    check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
    for (std::int64_t i = 0; i < count; ++i) {
      std::int32_t& token = tokens[begin + static_cast<std::size_t>(i)];
      if (token == gpu::kUndecided)
        token = gpu::settle(context_, logits_ + i * vocabulary, vocabulary, options.sampling,
                            draws[begin + static_cast<std::size_t>(i)]);
    }
  }
  if (!options.sampling.sample)
    gpu::copy_small(context_, tokens, chosen_, rows.spans.size() * sizeof(std::int32_t));
}

void CudaOps::observe(const BatchRows& rows, std::size_t first, std::int64_t count,
                      const LogitsObserver& observer) {
  const auto vocabulary = static_cast<std::size_t>(config_.vocabulary);
  std::vector<float> logits(static_cast<std::size_t>(count) * vocabulary);
  check(
      cudaMemcpyAsync(logits.data(), logits_, logits.size() * sizeof(float), cudaMemcpyDeviceToHost, stream_),
      "cudaMemcpyAsync");
  check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
  for (std::int64_t i = 0; i < count; ++i) {
    const auto& span = rows.spans[first + static_cast<std::size_t>(i)];
    observer(span.index, span.age,
             std::span(logits).subspan(static_cast<std::size_t>(i) * vocabulary, vocabulary));
  }
}

}  // namespace optpipe::executor::cuda
