// Attention over X: checks, and the order of its kernels.
#include <algorithm>

#include "kernels/cuda/launches.hpp"
#include "kernels/cuda/x_launches.hpp"
#include "optpipe/base/check.hpp"

namespace optpipe::kernels::cuda {
namespace {

constexpr std::int64_t kMostGrid = 65535;  // of a grid's second and third dimension
constexpr std::int64_t kScoreGroup = 64;

bool aligned(const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer) % 16 == 0; }
bool aligned(const Matrix& matrix) {
  return is_quantized(matrix.format) ||  // widened to where everything is aligned
         std::ranges::all_of(matrix.pieces, [](const Piece& piece) { return aligned(piece.data); });
}

bool check_batch(const KvBatch& batch, std::int64_t h) {
  OPTPIPE_CHECK(h > 0 && batch.count <= kMostGrid && batch.most_rows <= kMostGrid,
                "{} tasks of up to {} rows of {}", batch.count, batch.most_rows, h);
  return batch.count > 0 && batch.most_rows > 0;
}

// Rows [first, first + count) of a quantized weight, as halves at `to`.
void widen_part(const Matrix& weight, std::int64_t first, std::int64_t count, Half* to, Stream stream) {
  const RowFormat format = weight.row_format();
  std::int64_t begin = 0;  // of the piece
  for (const Piece& piece : weight.pieces) {
    const std::int64_t from = std::max(first, begin), end = std::min(first + count, begin + piece.rows);
    if (from < end)
      launch_widen_rows(reinterpret_cast<const std::byte*>(piece.data) +
                            static_cast<Bytes>(from - begin) * format.row_bytes(),
                        end - from, format, to + (from - first) * weight.columns, stream);
    begin += piece.rows;
  }
}

// Calls run(heads) for ranges that together are all heads, with their rows of the weight in fp16.
template <class Run>
void for_heads(Context::Parts& parts, const XAttention& a, const Matrix& weight, Run run) {
  const std::int64_t h = a.heads * a.head_dim;
  OPTPIPE_CHECK(weight.rows() == h && weight.columns == h, "a projection of {} x {} for {} heads of {}",
                weight.rows(), weight.columns, a.heads, a.head_dim);
  if (!is_quantized(weight.format)) return run({0, static_cast<int>(a.heads), weight});
  const auto room = static_cast<std::int64_t>(parts.widened.bytes() / sizeof(Half)) / (a.head_dim * h);
  OPTPIPE_CHECK(room >= 1, "no room for {} quantized rows of {} values", a.head_dim, h);
  auto* widened = reinterpret_cast<Half*>(parts.widened.data());
  for (std::int64_t head = 0; head < a.heads; head += room) {
    const std::int64_t count = std::min(room, a.heads - head), rows = count * a.head_dim;
    widen_part(weight, head * a.head_dim, rows, widened, parts.stream);
    Matrix wide{h, {}};
    wide.pieces[0] = {widened, rows};
    run({static_cast<int>(head), static_cast<int>(count), wide});
  }
}

}  // namespace

void append_x(Context& context, const KvBatch& batch, std::int64_t h, const Half* x) {
  if (check_batch(batch, h))
    launch_append_x(batch, h, x, batch.aligned() && h % 8 == 0 && aligned(x), context.stream());
}

void gather_x(Context& context, const KvBatch& batch, std::int64_t h, Half* x) {
  if (check_batch(batch, h))
    launch_gather_x(batch, h, x, batch.aligned() && h % 8 == 0 && aligned(x), context.stream());
}

void attention_x(Context& context, const KvBatch& batch, const XAttention& a) {
  const std::int64_t h = a.heads * a.head_dim;
  if (!check_batch(batch, h) || a.rows == 0) return;
  OPTPIPE_CHECK(batch.most_rows <= 1 && a.heads <= kMostGrid, "{} rows of a sequence, {} heads",
                batch.most_rows, a.heads);
  OPTPIPE_CHECK(a.score_stride >= batch.most_context && a.score_stride % kScoreGroup == 0,
                "scores of {} positions with stride {}", batch.most_context, a.score_stride);
  auto& parts = context.parts();
  const bool wide = parts.device.capability >= 80 && batch.aligned() && a.head_dim % 8 == 0 && aligned(a.q) &&
                    aligned(a.absorbed) && aligned(a.weights) && aligned(a.k_weight) && aligned(a.v_weight);
  for_heads(parts, a, a.k_weight,
            [&](const HeadRange& heads) { launch_absorb(a, heads, wide, parts.stream); });
  launch_scores(batch, a, wide, parts.stream);
  launch_softmax(batch, a, parts.stream);
  launch_sums(batch, a, wide, parts.stream);
  for_heads(parts, a, a.v_weight,
            [&](const HeadRange& heads) { launch_project(a, heads, wide, parts.stream); });
}

}  // namespace optpipe::kernels::cuda
