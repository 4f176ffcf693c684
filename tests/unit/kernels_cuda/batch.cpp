#include "unit/kernels_cuda/batch.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "optpipe/kernels/cpu.hpp"
#include "optpipe/kernels/quantized.hpp"

namespace optpipe::kernels::cuda::testing {
namespace {

std::int64_t all_rows(const BatchShape& shape) {
  return std::accumulate(shape.sequences.begin(), shape.sequences.end(), std::int64_t{0},
                         [](std::int64_t sum, const SequenceShape& s) { return sum + s.rows; });
}

std::int64_t elements(const BatchShape& shape) {
  return all_rows(shape) * (shape.heads * shape.dim + shape.padding);
}

// Row `position` of a segment that begins at halves `to_at`: `heads` heads from `from`, in the row's format.
void put_row(const RowFormat& row, std::int64_t heads, const Halves& from, std::int64_t at,
             std::vector<Half>& to, std::int64_t to_at, std::int64_t position) {
  kernels::narrow_row(
      row, heads, from.values.data() + at,
      reinterpret_cast<std::byte*>(to.data() + to_at) + static_cast<Bytes>(position) * row.row_bytes(heads));
}

}  // namespace

Batch::Batch(Random& random, BatchShape shape)
    : shape_(std::move(shape)),
      rows_(all_rows(shape_)),
      q_(random, elements(shape_), 1.5f),
      k_(random, elements(shape_)),
      v_(random, elements(shape_)) {
  constexpr std::array<Half, 5> kOdd{0x7e00, 0x7c00, 0xfc00, 0x8000, 0x0000};
  for (std::size_t i = 0; shape_.odd && i < k_.bits.size(); i += 53)
    for (Halves* rows : {&k_, &v_}) {
      rows->bits[i] = kOdd[i / 53 % kOdd.size()];
      rows->values[i] = half_to_float(rows->bits[i]);
    }
  pool_size_ = shape_.shift;
  std::int64_t row = 0;
  for (std::size_t s = 0; s < shape_.sequences.size(); ++s) {
    const auto& sequence = shape_.sequences[s];
    first_rows_.push_back(row);
    row += sequence.rows;
    for (auto* old : {&old_keys_, &old_values_})
      old->emplace_back(random, sequence.position * shape_.heads * shape_.dim);
    auto counts = sequence.segments;
    counts.push_back(shape_.heads - std::accumulate(counts.begin(), counts.end(), std::int64_t{0}));
    std::int64_t head = 0;
    for (const auto count : counts) {
      const auto capacity = sequence.position + sequence.rows + shape_.spare;
      const auto bytes = static_cast<Bytes>(capacity) * shape_.row().row_bytes(count);
      const auto size = static_cast<std::int64_t>((bytes + 15) / 16 * 8);  // segments begin at 16 bytes
      segments_.push_back({s, head, count, capacity, pool_size_, pool_size_ + size});
      pool_size_ += 2 * size;
      head += count;
    }
  }
}

// All segments: NaN, but for what is in the context already, and for the new rows on request.
std::vector<Half> Batch::pool(bool with_new_rows) const {
  std::vector<Half> result(static_cast<std::size_t>(pool_size_), kPoison);
  for (const Segment& segment : segments_) {
    const auto& sequence = shape_.sequences[segment.sequence];
    const auto column = segment.first_head * shape_.dim;
    for (std::int64_t p = 0; p < sequence.position; ++p) {
      const auto from = p * shape_.heads * shape_.dim + column;
      put_row(shape_.row(), segment.heads, old_keys_[segment.sequence], from, result, segment.keys, p);
      put_row(shape_.row(), segment.heads, old_values_[segment.sequence], from, result, segment.values, p);
    }
    for (std::int64_t r = 0; r < sequence.rows && with_new_rows; ++r) {
      const auto from = (first_rows_[segment.sequence] + r) * stride() + column;
      put_row(shape_.row(), segment.heads, k_, from, result, segment.keys, sequence.position + r);
      put_row(shape_.row(), segment.heads, v_, from, result, segment.values, sequence.position + r);
    }
  }
  return result;
}

void Batch::upload(const std::vector<Half>& pool) {
  device_pool_ = std::make_unique<Array<Half>>(pool);
  tasks_.clear();
  for (const Segment& segment : segments_) {
    const auto& sequence = shape_.sequences[segment.sequence];
    tasks_.push_back({.keys = device_pool_->at(segment.keys),
                      .values = device_pool_->at(segment.values),
                      .first_row = static_cast<std::int32_t>(first_rows_[segment.sequence]),
                      .rows = static_cast<std::int32_t>(sequence.rows),
                      .position = static_cast<std::int32_t>(sequence.position),
                      .first_head = static_cast<std::int32_t>(segment.first_head),
                      .heads = static_cast<std::int32_t>(segment.heads)});
  }
  device_tasks_ = std::make_unique<Array<KvTask>>(tasks_);
}

void Batch::append_and_check(Context& context) {
  upload(pool(false));
  const auto k = k_.upload(), v = v_.upload();
  append_kv(context, uploaded(), shape_.dim, k.get(), v.get(), stride());
  EXPECT_EQ(device_pool_->values(), pool(true)) << "dim " << shape_.dim << " shift " << shape_.shift;
}

void Batch::widen_and_check(Context& context) {
  upload(pool(true));
  const auto q = q_.upload(), keys = Array<Half>::filled(rows_ * stride(), kPoison),
             values = Array<Half>::filled(rows_ * stride(), kPoison),
             from_codes = Array<Half>::filled(rows_ * stride(), kPoison),
             from_halves = Array<Half>::filled(rows_ * stride(), kPoison);
  ASSERT_TRUE(can_widen_prompts(uploaded(), shape_.dim));
  attention_prefill(context, uploaded(), shape_.dim, {q.get(), from_codes.get(), stride(), stride()});
  const KvBatch widened =
      widen_prompts(context, uploaded(), shape_.dim, {keys.get(), values.get(), stride()});
  EXPECT_FALSE(is_quantized(widened.format));
  attention_prefill(context, widened, shape_.dim, {q.get(), from_halves.get(), stride(), stride()});
  EXPECT_EQ(from_halves.values(), from_codes.values()) << name_of(shape_.format) << ", dim " << shape_.dim;
}

void Batch::attend_and_check(Context& context, bool decode, double scale, double sparsity) {
  Halves queries = q_;
  for (std::size_t i = 0; i < queries.bits.size(); ++i) {
    queries.bits[i] = float_to_half(static_cast<float>(queries.values[i] * scale));
    queries.values[i] = half_to_float(queries.bits[i]);
  }
  const auto host = pool(true);
  upload(host);
  const auto q = queries.upload(), out = Array<Half>::filled(rows_ * stride(), kPoison);
  const AttentionRows rows{q.get(), out.get(), stride(), stride(), sparsity};
  if (decode)
    attention_decode(context, uploaded(), shape_.dim, rows);
  else
    attention_prefill(context, uploaded(), shape_.dim, rows);
  const auto actual = widen(out.values());

  std::vector<float> expected(actual.size(), kernels::testing::kPoison);
  std::vector<AttentionTask> tasks;
  for (const Segment& segment : segments_) {
    const auto& sequence = shape_.sequences[segment.sequence];
    const auto at = first_rows_[segment.sequence] * stride() + segment.first_head * shape_.dim;
    tasks.push_back({.q = queries.values.data() + at,
                     .k = reinterpret_cast<const std::byte*>(host.data() + segment.keys),
                     .v = reinterpret_cast<const std::byte*>(host.data() + segment.values),
                     .out = expected.data() + at,
                     .rows = sequence.rows,
                     .context = sequence.position + sequence.rows,
                     .heads = segment.heads,
                     .q_stride = stride(),
                     .kv_stride = segment.heads * shape_.dim});
    if (decode) tasks.back().kept = kept_positions(sparsity, tasks.back().context);
  }
  attention(tasks, shape_.row(), 4);
  // Tensor cores take halves: quantized values, which are none, are rounded once more on their way to them.
  const double tolerance = kTolerance + (is_quantized(shape_.format) && !decode ? kRounding : 0);
  const auto columns = shape_.heads * shape_.dim;
  // Row by row: a wrong row must not hide behind many right ones.
  for (std::int64_t row = 0; row < rows_; ++row) {
    const auto at = static_cast<std::size_t>(row * stride());
    const auto count = static_cast<std::size_t>(columns);
    const std::vector<double> wanted(expected.begin() + static_cast<std::ptrdiff_t>(at),
                                     expected.begin() + static_cast<std::ptrdiff_t>(at + count));
    ASSERT_LT(relative_error(std::span(actual).subspan(at, count), wanted), tolerance)
        << "row " << row << " of " << rows_ << ", dim " << shape_.dim << ", heads " << shape_.heads;
    for (std::size_t i = at + count; i < at + static_cast<std::size_t>(stride()); ++i)
      ASSERT_TRUE(std::isnan(actual[i])) << "written between rows";
  }
}

}  // namespace optpipe::kernels::cuda::testing
