#include "optpipe/kernels/decode_attention.hpp"

#include <algorithm>

#include "optpipe/kernels/cpu.hpp"
#include "optpipe/kernels/quantized.hpp"
#include "unit/kernels/support.hpp"

namespace optpipe::kernels {
namespace {

using testing::Numbers;
using testing::same_bits;

std::vector<float> widened(const std::vector<std::byte>& bytes, DType type) {
  std::vector<float> values(bytes.size() / size_of(type));
  to_float(bytes.data(), type, values.data(), static_cast<std::int64_t>(values.size()));
  return values;
}

// Some sequences of different lengths, whose last position is still to come.
struct Batch {
  std::int64_t heads, dim;
  DType rows;
  RowFormat cache;
  std::vector<std::int64_t> contexts{1, 70, 3, 129};
  std::vector<Numbers> q, k, v, keys, values;
  std::vector<std::vector<std::byte>> out;

  Batch(std::int64_t heads_, std::int64_t dim_, DType rows_, DType cache_)
      : heads(heads_), dim(dim_), rows(rows_), cache{StorageFormat::native, cache_, dim_} {
    testing::Random random(5);
    for (const std::int64_t context : contexts) {
      for (auto* each : {&q, &k, &v}) each->push_back(random.numbers(rows, heads * dim));
      for (auto* each : {&keys, &values}) each->push_back(random.numbers(cache_, context * heads * dim));
      out.emplace_back(static_cast<std::size_t>(heads * dim) * size_of(rows), std::byte{0xff});
    }
  }

  // Of heads [first, first + count), in caches of their own.
  void run(int threads) {
    std::vector<DecodeTask> tasks;
    for (std::size_t i = 0; i < contexts.size(); ++i)
      tasks.push_back({q[i].at(0), k[i].at(0), v[i].at(0), out[i].data(), keys[i].bytes.data(),
                       values[i].bytes.data(), contexts[i], heads});
    decode_attention(tasks, rows, cache, threads);
  }

  // The same by the operations that it stands for.
  std::vector<std::byte> expected(std::size_t i) const {
    const std::int64_t width = heads * dim, last = (contexts[i] - 1) * width;
    auto own_keys = keys[i].bytes, own_values = values[i].bytes;
    const auto put = [&](const Numbers& from, std::vector<std::byte>& to) {
      const auto wide = widened(from.bytes, rows);
      from_float(wide.data(), to.data() + static_cast<std::size_t>(last) * size_of(cache.dtype), cache.dtype,
                 width);
    };
    put(k[i], own_keys);
    put(v[i], own_values);
    const auto wide_q = widened(q[i].bytes, rows);
    std::vector<float> sums(static_cast<std::size_t>(width));
    const AttentionTask task{
        wide_q.data(), own_keys.data(), own_values.data(), sums.data(), 1, contexts[i], heads, width, width};
    attention({&task, 1}, dim, cache.dtype, 1);
    std::vector<std::byte> narrow(out[i].size());
    from_float(sums.data(), narrow.data(), rows, width);
    return narrow;
  }
};

using DecodeAttention = testing::OnTarget;
INSTANTIATE_ON_TARGETS(DecodeAttention);

TEST_P(DecodeAttention, IsAppendAndAttention) {
  for (const DType rows : {DType::f16, DType::f32})
    for (const DType cache : {DType::f16, DType::f32})
      for (const std::int64_t dim : {7, 64, 80})
        for (const int threads : {1, 3}) {
          Batch batch(5, dim, rows, cache);
          const Batch before = batch;
          batch.run(threads);
          for (std::size_t i = 0; i < batch.contexts.size(); ++i) {
            EXPECT_EQ(batch.out[i], before.expected(i))
                << name_of(rows) << name_of(cache) << dim << ": " << i;
            const auto last = static_cast<std::ptrdiff_t>(batch.cache.row_bytes(5) *
                                                          static_cast<Bytes>(batch.contexts[i] - 1));
            EXPECT_TRUE(std::equal(before.keys[i].bytes.begin(), before.keys[i].bytes.begin() + last,
                                   batch.keys[i].bytes.begin()))
                << "older keys have changed";
          }
        }
}

// Threads share the heads of a row, whose codes and pairs lie apart.
TEST_P(DecodeAttention, CodesAreAppendedByHeads) {
  for (const StorageFormat storage : {StorageFormat::q4, StorageFormat::q8})
    for (const std::int64_t dim : {64, 80, 128})
      for (const int threads : {1, 3, 16}) {
        constexpr std::int64_t kHeads = 7, kContext = 40;
        const RowFormat cache{storage, DType::f16, dim};
        testing::Random random(11);
        const auto q = random.floats(kHeads * dim);
        const Bytes row = cache.row_bytes(kHeads), last = (kContext - 1) * row;
        std::vector<std::byte> keys(kContext * row), values(kContext * row);
        for (std::int64_t p = 0; p < kContext; ++p)
          for (auto* each : {&keys, &values})
            narrow_row(cache, kHeads, random.floats(kHeads * dim).data(),
                       each->data() + static_cast<Bytes>(p) * row);
        auto own_keys = keys, own_values = values;  // their last rows are to be written
        std::fill(own_keys.begin() + static_cast<std::ptrdiff_t>(last), own_keys.end(), std::byte{0xee});
        std::fill(own_values.begin() + static_cast<std::ptrdiff_t>(last), own_values.end(), std::byte{0xee});
        const auto k = random.floats(kHeads * dim), v = random.floats(kHeads * dim);
        narrow_row(cache, kHeads, k.data(), keys.data() + last);
        narrow_row(cache, kHeads, v.data(), values.data() + last);
        std::vector<float> out(q.size()), expected(q.size());
        const DecodeTask task{reinterpret_cast<const std::byte*>(q.data()),
                              reinterpret_cast<const std::byte*>(k.data()),
                              reinterpret_cast<const std::byte*>(v.data()),
                              reinterpret_cast<std::byte*>(out.data()),
                              own_keys.data(),
                              own_values.data(),
                              kContext,
                              kHeads};
        decode_attention({&task, 1}, DType::f32, cache, threads);
        EXPECT_EQ(own_keys, keys) << name_of(storage) << dim << " on " << threads;
        EXPECT_EQ(own_values, values) << name_of(storage) << dim << " on " << threads;
        const AttentionTask whole{q.data(), keys.data(), values.data(), expected.data(), 1,
                                  kContext, kHeads,      kHeads * dim,  kHeads * dim};
        attention({&whole, 1}, cache, 1);
        EXPECT_TRUE(same_bits(out, expected)) << name_of(storage) << dim << " on " << threads;
      }
}

TEST_P(DecodeAttention, NoTasksAndNoHeadsDoNothing) {
  const RowFormat cache{StorageFormat::native, DType::f16, 64};
  decode_attention({}, DType::f16, cache, 2);
  const DecodeTask empty{.context = 1};
  decode_attention({&empty, 1}, DType::f16, cache, 2);
}

}  // namespace
}  // namespace optpipe::kernels
