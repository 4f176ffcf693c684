// Attention over quantized keys and values: what it computes, and that every way to it gives the same bits.
#include <algorithm>
#include <cmath>

#include "optpipe/kernels/cpu.hpp"
#include "optpipe/kernels/quantized.hpp"
#include "unit/kernels/support.hpp"

namespace optpipe::kernels {
namespace {

using testing::same_bits;

// As for other formats (attention_test.cpp), with keys and values as their codes say.
constexpr double kTolerance = 2e-6;

struct Sequence {
  std::int64_t context, heads, dim;
  RowFormat format;
  std::vector<float> q;
  std::vector<std::byte> keys, values;

  Sequence(StorageFormat storage, std::int64_t context_, std::int64_t heads_, std::int64_t dim_)
      : context(context_), heads(heads_), dim(dim_), format{storage, DType::f16, dim_} {
    testing::Random random(static_cast<std::uint64_t>(context * 1009 + heads * 31 + dim));
    q = random.floats(context * width(), 1.5f);
    for (auto* cache : {&keys, &values}) {
      const auto numbers = random.floats(context * width());
      cache->resize(static_cast<std::size_t>(context) * format.row_bytes(heads));
      for (std::int64_t p = 0; p < context; ++p)
        narrow_row(format, heads, numbers.data() + p * width(), cache->data() + row(p));
    }
  }
  std::int64_t width() const { return heads * dim; }
  Bytes row(std::int64_t position) const { return static_cast<Bytes>(position) * format.row_bytes(heads); }

  std::vector<float> run(std::int64_t first, std::int64_t rows, int threads) const {
    std::vector<float> out(static_cast<std::size_t>(rows * width()), testing::kPoison);
    const AttentionTask task{.q = q.data() + first * width(),
                             .k = keys.data(),
                             .v = values.data(),
                             .out = out.data(),
                             .rows = rows,
                             .context = first + rows,
                             .heads = heads,
                             .q_stride = width(),
                             .kv_stride = width()};
    attention({&task, 1}, format, threads);
    return out;
  }

  // The last query by plain attention over widened rows.
  std::vector<float> expected() const {
    std::vector<float> wide_keys(static_cast<std::size_t>(context * width())), wide_values(wide_keys);
    for (std::int64_t p = 0; p < context; ++p) {
      dequantize(format, heads, keys.data() + row(p), wide_keys.data() + p * width());
      dequantize(format, heads, values.data() + row(p), wide_values.data() + p * width());
    }
    std::vector<float> out(static_cast<std::size_t>(width()));
    const AttentionTask task{q.data() + (context - 1) * width(),
                             reinterpret_cast<const std::byte*>(wide_keys.data()),
                             reinterpret_cast<const std::byte*>(wide_values.data()),
                             out.data(),
                             1,
                             context,
                             heads,
                             width(),
                             width()};
    attention({&task, 1}, dim, DType::f32, 1);
    return out;
  }
};

using QuantizedAttention = testing::OnTarget;
INSTANTIATE_ON_TARGETS(QuantizedAttention);

TEST_P(QuantizedAttention, DecodeEqualsAttentionOverWidenedRows) {
  for (const StorageFormat storage : {StorageFormat::q4, StorageFormat::q8})
    for (const std::int64_t dim : {16, 64, 80, 128})
      for (const std::int64_t context : {1, 3, 70}) {
        const Sequence sequence(storage, context, 5, dim);
        const auto out = sequence.run(context - 1, 1, 1), expected = sequence.expected();
        for (std::size_t i = 0; i < out.size(); ++i)
          ASSERT_NEAR(out[i], expected[i], 4 * kTolerance)
              << name_of(storage) << " dim " << dim << " context " << context << ": " << i;
      }
}

TEST_P(QuantizedAttention, DecodeHasPrefillsBitsOnAnyThreads) {
  for (const StorageFormat storage : {StorageFormat::q4, StorageFormat::q8})
    for (const std::int64_t dim : {64, 80, 128}) {
      const Sequence sequence(storage, 90, 9, dim);
      const auto prefill = sequence.run(0, sequence.context, 2);
      for (const std::int64_t first : {0, 5, 63, 64, 89})
        for (const int threads : {1, 3, 16})
          ASSERT_TRUE(same_bits(sequence.run(first, 1, threads),
                                std::span(prefill).subspan(static_cast<std::size_t>(first * sequence.width()),
                                                           static_cast<std::size_t>(sequence.width()))))
              << name_of(storage) << " dim " << dim << " query " << first << " on " << threads;
    }
}

}  // namespace
}  // namespace optpipe::kernels
