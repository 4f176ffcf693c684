// Operations on whole rows and small arrays: checks, and which kernel.
#include "kernels/cuda/launches.hpp"
#include "kernels/cuda/status.hpp"
#include "optpipe/base/check.hpp"

namespace optpipe::kernels::cuda {

void embed(Context& context, const Lookup& tokens, const Lookup& positions, std::int64_t rows, std::int64_t h,
           bool accumulate, Half* out) {
  OPTPIPE_CHECK(h > 0, "rows of {} elements", h);
  for (const Lookup* lookup : {&tokens, &positions})
    OPTPIPE_CHECK(!lookup->ids || lookup->table.columns == h, "a table of {} columns for rows of {}",
                  lookup->table.columns, h);
  if (rows > 0) launch_embed(tokens, positions, rows, h, accumulate, out, context.stream());
}

void copy_small(Context& context, void* to, const void* from, Bytes bytes) {
  copy_small(context, context.stream(), to, from, bytes);
}

void copy_small(const Context& context, Stream stream, void* to, const void* from, Bytes bytes) {
  constexpr Bytes kWord = 16;
  const auto address = reinterpret_cast<std::uintptr_t>(to) | reinterpret_cast<std::uintptr_t>(from);
  OPTPIPE_CHECK(address % kWord == 0, "a small copy between addresses that are not multiples of {}", kWord);
  if (bytes == 0) return;
  const Bytes whole = round_up(bytes, kWord);
  if (context.parts().device.reads_pinned)
    launch_copy_words(to, from, whole, stream);
  else
    check(cudaMemcpyAsync(to, from, whole, cudaMemcpyDefault, stream), "cudaMemcpyAsync");
}

void gather_rows(Context& context, const Half* x, const std::int32_t* ids, std::int64_t count, std::int64_t h,
                 Half* out) {
  constexpr std::int64_t kAnyRow = std::int64_t{1} << 31;
  const Lookup lookup{.table = {.columns = h, .pieces = {Piece{x, kAnyRow}}}, .ids = ids};
  embed(context, lookup, {}, count, h, false, out);
}

void layer_norm(Context& context, const Half* x, std::int64_t m, std::int64_t h, const Half* weight,
                const Half* bias, Half* out) {
  OPTPIPE_CHECK(h > 0, "rows of {} elements", h);
  if (m > 0) launch_layer_norm(x, m, h, weight, bias, out, context.stream());
}

}  // namespace optpipe::kernels::cuda
