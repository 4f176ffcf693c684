#include "kernels/cpu/targets.hpp"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/attention.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>

#include "kernels/cpu/attention_codes-inl.hpp"
#include "kernels/cpu/attention_parts-inl.hpp"
#include "kernels/cpu/attention_plan.hpp"
#include "kernels/cpu/attention_units.hpp"
#include "kernels/cpu/coded_heads.hpp"
#include "kernels/cpu/keep_largest.hpp"
#include "kernels/cpu/parallel.hpp"
#include "kernels/cpu/quantized-inl.hpp"
#include "kernels/cpu/scratch.hpp"
#include "optpipe/base/check.hpp"

// A query's result is the same sequence of operations in prefill and in decode: scores by dot_tile, softmax
// over the positions up to its own, one chain over these positions for each element of the weighted sum. The
// two ways below differ in what they hold in the cache meanwhile.
HWY_BEFORE_NAMESPACE();
namespace optpipe::kernels::HWY_NAMESPACE {
namespace {

constexpr std::int64_t kPositions = 64;       // keys or values widened at a time: in the first-level cache
constexpr std::int64_t kStreamPositions = 8;  // values read at a time, all heads of a unit

template <class T>
constexpr std::int64_t kLineElements = 64 / sizeof(T);  // of a cache line

// What a unit works with.
struct Workspace {
  std::int64_t dim, pitch;           // of a head; of a padded head in scratch
  std::int64_t limit, scores_pitch;  // positions the last query sees; of a row of scores
  float *q, *scores, *sums, *panel;  // scratch
};
template <class T>
struct Frame : Workspace {
  const T *k, *v;  // [context, heads · dim] from the unit's first head
  std::int64_t stride;
};
struct Codes {};  // in place of a number's type: quantized keys and values
template <>
struct Frame<Codes> : Workspace {
  const std::byte *k, *v;  // [context] rows of all heads of the task
  RowFormat format;
  std::int64_t heads, head_begin;  // of the task; the unit's first
};

// Row `position` of keys or values (`from`) of head `head` of the unit, widened to the panel's row `to`.
template <class T>
HWY_ATTR HWY_INLINE void widen_head(const Frame<T>& f, const T* from, std::int64_t position,
                                    std::int64_t head, float* to) {
  widen(from + position * f.stride + head * f.dim, f.dim, to, f.pitch);
}
HWY_ATTR HWY_INLINE void widen_head(const Frame<Codes>& f, const std::byte* from, std::int64_t position,
                                    std::int64_t head, float* to) {
  widen_quantized(f.format, f.heads, from + static_cast<Bytes>(position) * f.format.row_bytes(f.heads),
                  f.head_begin + head, 0, f.dim, to);
  std::fill(to + f.dim, to + f.pitch, 0.0f);
}

HWY_ATTR void scale(const float* q, std::int64_t dim, float* to, std::int64_t pitch) {
  const Floats d;
  const Vector factor = hn::Set(d, 1.0f / std::sqrt(static_cast<float>(dim)));
  widen(q, dim, to, pitch);
  for (std::int64_t i = 0; i < pitch; i += kLanes) hn::Store(hn::Mul(hn::Load(d, to + i), factor), d, to + i);
}

HWY_ATTR void store_row(const float* sums, std::int64_t dim, float* out) { std::copy_n(sums, dim, out); }

// The kept values' sum of one head: weights of the others are 0.
template <class T>
HWY_ATTR void add_kept(const Frame<T>& f, std::int64_t head) {
  const float* weights = f.scores + head * f.scores_pitch;
  const T* values = f.v + head * f.dim;
  for (std::int64_t p = 0; p < f.limit; ++p) {
    if (weights[p] == 0) continue;
    std::int64_t end = p + 1;
    while (end < f.limit && weights[end] != 0) ++end;
    add_weighted_rows<1>(weights + p, 0, values + p * f.stride, f.stride, end - p, f.dim,
                         f.sums + head * f.pitch, 0);
    p = end;
  }
}

// One query of several heads: keys and values pass once, straight into registers, in the order of memory.
template <class T>
HWY_ATTR void decode(const AttentionTask& task, const AttentionUnit& unit, const Frame<T>& f) {
  const std::int64_t heads = unit.head_end - unit.head_begin;
  const float* q = task.q + unit.row_begin * task.q_stride + unit.head_begin * f.dim;
  for (std::int64_t h = 0; h < heads; ++h) scale(q + h * f.dim, f.dim, f.q + h * f.pitch, f.pitch);
  const std::int64_t ahead = 2 * kTileColumns * f.stride;
  for (std::int64_t p = 0; p < f.limit; p += kTileColumns) {
    for (std::int64_t h = 0; h < heads; ++h) {
      const T* rows[kTileColumns];
      for (std::int64_t c = 0; c < kTileColumns; ++c)
        rows[c] = f.k + std::min(p + c, f.limit - 1) * f.stride + h * f.dim;
      dot_tile<1, true>(f.q + h * f.pitch, f.pitch, rows, f.dim, false, f.scores + h * f.scores_pitch + p, 0,
                        {ahead, ahead});
    }
  }
  for (std::int64_t h = 0; h < heads; ++h) softmax(f.scores + h * f.scores_pitch, f.limit);
  std::fill_n(f.sums, heads * f.pitch, 0.0f);
  const bool sparse = task.kept < f.limit - 1;
  for (std::int64_t h = 0; sparse && h < heads; ++h) {
    keep_largest(f.scores + h * f.scores_pitch, f.limit - 1, task.kept);
    add_kept(f, h);
  }
  for (std::int64_t p = 0; !sparse && p < f.limit; p += kStreamPositions) {
    const std::int64_t count = std::min(kStreamPositions, f.limit - p);
    for (std::int64_t h = 0; h < heads; ++h) {
      const T* values = f.v + p * f.stride + h * f.dim;
      for (std::int64_t i = kStreamPositions; i < 2 * kStreamPositions; ++i)
        for (std::int64_t j = 0; j < f.dim; j += kLineElements<T>) fetch_ahead(values + j, i * f.stride);
      add_weighted_rows<1>(f.scores + h * f.scores_pitch + p, 0, values, f.stride, count, f.dim,
                           f.sums + h * f.pitch, 0);
    }
  }
  float* out = task.out + unit.row_begin * task.q_stride + unit.head_begin * f.dim;
  for (std::int64_t h = 0; h < heads; ++h) store_row(f.sums + h * f.pitch, f.dim, out + h * f.dim);
}

// Queries row .. row + count - 1 of the unit against keys p .. p_end - 1 in the panel.
HWY_ATTR void score_block(const Workspace& f, std::int64_t rows, std::int64_t first_limit, std::int64_t p,
                          std::int64_t p_end) {
  for (std::int64_t r = 0; r < rows; r += kTileRows) {
    const std::int64_t count = std::min<std::int64_t>(kTileRows, rows - r);
    const std::int64_t end = std::min(p_end, first_limit + r + count - 1);
    for (std::int64_t i = p; i < end; i += kTileColumns) {
      const float* keys[kTileColumns];
      for (std::int64_t c = 0; c < kTileColumns; ++c)
        keys[c] = f.panel + (std::min(i + c, p_end - 1) - p) * f.pitch;
      dot_rows(f.q + r * f.pitch, f.pitch, count, keys, f.dim, false, f.scores + r * f.scores_pitch + i,
               f.scores_pitch);
    }
  }
}

// Values p .. p_end - 1 in the panel, weighted, to the sums of all queries that see them.
HWY_ATTR void weigh_block(const Workspace& f, std::int64_t rows, std::int64_t first_limit, std::int64_t p,
                          std::int64_t p_end) {
  for (std::int64_t r = 0; r < rows; r += kTileRows) {
    const std::int64_t count = std::min<std::int64_t>(kTileRows, rows - r);
    const std::int64_t common =
        std::clamp(first_limit + r, p, p_end);  // all queries of the tile see p .. common - 1
    const float* weights = f.scores + r * f.scores_pitch + p;
    float* sums = f.sums + r * f.pitch;
    std::int64_t done = 0;
    if (count == kTileRows) {
      done = common - p;
      add_weighted_rows<kTileRows>(weights, f.scores_pitch, f.panel, f.pitch, done, f.pitch, sums, f.pitch);
    }
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t seen = std::clamp(first_limit + r + i, p, p_end) - p;
      if (seen > done)
        add_weighted_rows<1>(weights + i * f.scores_pitch + done, 0, f.panel + done * f.pitch, f.pitch,
                             seen - done, f.pitch, sums + i * f.pitch, 0);
    }
  }
}

// Several queries of one head: keys and values are widened in blocks, each used by all queries.
template <class T>
HWY_ATTR void prefill(const AttentionTask& task, const AttentionUnit& unit, std::int64_t head,
                      const Frame<T>& f) {
  const std::int64_t rows = unit.row_end - unit.row_begin, first_limit = f.limit - rows + 1;
  const std::int64_t unit_head = head - unit.head_begin;
  const std::int64_t offset = unit.row_begin * task.q_stride + head * f.dim;
  for (std::int64_t r = 0; r < rows; ++r)
    scale(task.q + offset + r * task.q_stride, f.dim, f.q + r * f.pitch, f.pitch);
  for (std::int64_t p = 0; p < f.limit; p += kPositions) {
    const std::int64_t end = std::min(p + kPositions, f.limit);
    for (std::int64_t i = p; i < end; ++i) widen_head(f, f.k, i, unit_head, f.panel + (i - p) * f.pitch);
    score_block(f, rows, first_limit, p, end);
  }
  for (std::int64_t r = 0; r < rows; ++r) softmax(f.scores + r * f.scores_pitch, first_limit + r);
  if (task.rows == 1) keep_largest(f.scores, f.limit - 1, task.kept);
  std::fill_n(f.sums, rows * f.pitch, 0.0f);
  for (std::int64_t p = 0; p < f.limit; p += kPositions) {
    const std::int64_t end = std::min(p + kPositions, f.limit);
    for (std::int64_t i = p; i < end; ++i) widen_head(f, f.v, i, unit_head, f.panel + (i - p) * f.pitch);
    weigh_block(f, rows, first_limit, p, end);
  }
  for (std::int64_t r = 0; r < rows; ++r)
    store_row(f.sums + r * f.pitch, f.dim, task.out + offset + r * task.q_stride);
}

// `queries`: at a time; `least_panel`: floats.
HWY_ATTR void take_scratch(const AttentionTask& task, const AttentionUnit& unit, std::int64_t dim,
                           std::int64_t queries, Workspace& f, std::int64_t least_panel = 0) {
  f.dim = dim;
  f.pitch = align_floats(dim);
  f.limit = task.context - task.rows + unit.row_end;
  f.scores_pitch = align_floats(f.limit + kTileColumns);  // a tile writes whole groups of columns
  const std::int64_t panel = std::max(kPositions * f.pitch, least_panel);
  f.q = thread_scratch(queries * (2 * f.pitch + f.scores_pitch) + panel);
  f.sums = f.q + queries * f.pitch;
  f.panel = f.sums + queries * f.pitch;
  f.scores = f.panel + panel;
}

template <class T>
HWY_ATTR void run(const AttentionTask& task, const AttentionUnit& unit, std::int64_t dim) {
  const std::int64_t rows = unit.row_end - unit.row_begin, heads = unit.head_end - unit.head_begin;
  Frame<T> f{};
  f.k = reinterpret_cast<const T*>(task.k) + unit.head_begin * dim;
  f.v = reinterpret_cast<const T*>(task.v) + unit.head_begin * dim;
  f.stride = task.kv_stride;
  take_scratch(task, unit, dim, rows == 1 ? heads : rows, f);
  if (rows == 1) return decode(task, unit, f);
  for (std::int64_t head = unit.head_begin; head < unit.head_end; ++head) prefill(task, unit, head, f);
}

HWY_ATTR CodedHeads coded_heads(const Frame<Codes>& f, std::int64_t heads) {
  const std::int64_t groups = f.format.groups();
  return {f.k,
          f.format.row_bytes(f.heads),
          static_cast<Bytes>(f.head_begin) * f.format.run_code_bytes(),
          f.format.pairs_offset(f.heads) + static_cast<Bytes>(f.head_begin * groups) * kGroupPairBytes,
          heads,
          groups,
          f.format.format};
}

// One query of several heads whose groups are all whole: as decode() above.
template <StorageFormat format>
HWY_ATTR void decode_codes(const AttentionTask& task, const AttentionUnit& unit, const Frame<Codes>& f) {
  const std::int64_t heads = unit.head_end - unit.head_begin, groups = f.format.groups();
  CodeRows rows{
      f.k,
      f.format.row_bytes(f.heads),
      static_cast<Bytes>(unit.head_begin) * f.format.run_code_bytes(),
      f.format.pairs_offset(f.heads) + static_cast<Bytes>(unit.head_begin * groups) * kGroupPairBytes,
      heads,
      groups,
      f.panel,
      align_floats(2 * heads * groups)};
  const float* q = task.q + unit.head_begin * f.dim;
  for (std::int64_t h = 0; h < heads; ++h) scale(q + h * f.dim, f.dim, f.q + h * f.pitch, f.pitch);
  for (std::int64_t p = 0; p < f.limit; p += kTileColumns)
    dot_codes<format>(rows, f.q, f.pitch, p, f.limit - 1, f.scores + p, f.scores_pitch);
  for (std::int64_t h = 0; h < heads; ++h) {
    softmax(f.scores + h * f.scores_pitch, f.limit);
    keep_largest(f.scores + h * f.scores_pitch, f.limit - 1, task.kept);
  }
  std::fill_n(f.sums, heads * f.pitch, 0.0f);
  rows.data = f.v;
  for (std::int64_t p = 0; p < f.limit; p += kStreamPositions)
    add_weighted_codes<format>(rows, f.scores + p, f.scores_pitch, p, std::min(kStreamPositions, f.limit - p),
                               f.sums, f.pitch);
  for (std::int64_t h = 0; h < heads; ++h)
    store_row(f.sums + h * f.pitch, f.dim, task.out + (unit.head_begin + h) * f.dim);
}

// Any query over whole groups where cores multiply integers: one way for prefill and decode. False, and
// nothing done, where q is not finite.
HWY_ATTR bool attend_codes(const AttentionTask& task, const AttentionUnit& unit, std::int64_t row,
                           const Frame<Codes>& f) {
  const std::int64_t heads = unit.head_end - unit.head_begin;
  const std::int64_t limit = task.context - task.rows + row + 1;
  const std::int64_t offset = row * task.q_stride + unit.head_begin * f.dim;
  for (std::int64_t h = 0; h < heads; ++h)
    scale(task.q + offset + h * f.dim, f.dim, f.q + h * f.pitch, f.pitch);
  CodedHeads coded = coded_heads(f, heads);
  if (!coded_scores(coded, f.v, f.q, f.pitch, limit, f.scores, f.scores_pitch, f.panel)) return false;
  for (std::int64_t h = 0; h < heads; ++h) {
    softmax(f.scores + h * f.scores_pitch, limit);
    if (task.rows == 1) keep_largest(f.scores + h * f.scores_pitch, limit - 1, task.kept);
  }
  coded.data = f.v;
  coded_sums(coded, f.scores, f.scores_pitch, limit, task.out + offset, f.panel);
  return true;
}

// Other quantized keys and values pass through the panel.
HWY_ATTR void run_codes(const AttentionTask& task, const AttentionUnit& unit, const RowFormat& format) {
  Frame<Codes> f{};
  f.k = task.k;
  f.v = task.v;
  f.format = format;
  f.heads = task.heads;
  f.head_begin = unit.head_begin;
  const std::int64_t rows = unit.row_end - unit.row_begin, heads = unit.head_end - unit.head_begin;
  const bool whole = format.run % kGroupValues == 0;
  const CodedHeads coded = coded_heads(f, heads);
  if (whole && kLanes == 16 && coded.can_be_coded() && has_integer_products()) {
    take_scratch(task, unit, format.run, heads, f, std::max(coded_scores_scratch(), coded_sums_scratch()));
    std::int64_t row = unit.row_begin;
    while (row < unit.row_end && attend_codes(task, unit, row, f)) ++row;
    if (row == unit.row_end) return;
  }
  if (task.rows == 1 && whole) {
    take_scratch(task, unit, format.run, heads, f,
                 kStreamPositions * align_floats(2 * heads * format.groups()));
    return format.format == StorageFormat::q4 ? decode_codes<StorageFormat::q4>(task, unit, f)
                                              : decode_codes<StorageFormat::q8>(task, unit, f);
  }
  take_scratch(task, unit, format.run, rows, f);
  for (std::int64_t head = unit.head_begin; head < unit.head_end; ++head) prefill(task, unit, head, f);
}

HWY_ATTR void attention_unit(const AttentionTask& task, const AttentionUnit& unit, const RowFormat& format) {
  if (is_quantized(format.format)) return run_codes(task, unit, format);
  const std::int64_t dim = format.run;
  switch (format.dtype) {
    case DType::f32:
      return run<float>(task, unit, dim);
    case DType::f16:
      return run<hwy::float16_t>(task, unit, dim);
    case DType::bf16:
      return run<hwy::bfloat16_t>(task, unit, dim);
  }
}

}  // namespace
}  // namespace optpipe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace optpipe::kernels {
namespace {

HWY_EXPORT(attention_unit);

void check(const AttentionTask& task, const RowFormat& kv) {
  const std::int64_t head_dim = kv.run;
  OPTPIPE_CHECK(task.rows >= 0 && task.heads >= 0, "{} rows, {} heads", task.rows, task.heads);
  OPTPIPE_CHECK(task.context >= task.rows, "{} queries in a context of {}", task.rows, task.context);
  OPTPIPE_CHECK(task.rows <= 1 || task.q_stride >= task.heads * head_dim, "q stride {}", task.q_stride);
  OPTPIPE_CHECK(task.context <= 1 || is_quantized(kv.format) || task.kv_stride >= task.heads * head_dim,
                "kv stride {}", task.kv_stride);
}

}  // namespace

void attention(std::span<const AttentionTask> tasks, const RowFormat& kv, int threads) {
  attention_units(tasks, kv, threads, {}, {});
}

void attention_units(std::span<const AttentionTask> tasks, const RowFormat& kv, int threads,
                     const AroundUnit& before, const AroundUnit& after) {
  OPTPIPE_CHECK(kv.run > 0, "head dimension {}", kv.run);
  for (const AttentionTask& task : tasks) check(task, kv);
  thread_local AttentionPlan own_plan;
  AttentionPlan& plan = own_plan;  // the calling thread's, for all threads
  plan.make(tasks, static_cast<std::int64_t>(kv.row_bytes()), threads);
  parallel_for(plan.units(), threads, [&](std::int64_t i) {
    const AttentionUnit unit = plan.unit(i);
    if (before) before(unit);
    HWY_DYNAMIC_DISPATCH(attention_unit)
    (tasks[static_cast<std::size_t>(unit.task)], unit, kv);
    if (after) after(unit);
  });
}

}  // namespace optpipe::kernels
#endif
