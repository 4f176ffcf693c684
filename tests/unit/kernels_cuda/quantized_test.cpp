// Quantized weights and keys and values on the GPU, against the CPU's.
#include "optpipe/kernels/quantized.hpp"

#include "optpipe/kernels/cpu.hpp"
#include "unit/kernels_cuda/batch.hpp"

namespace optpipe::kernels::cuda {
namespace {

using testing::Array;
using testing::Batch;
using testing::BatchShape;
using testing::Halves;
using testing::kPoison;

constexpr StorageFormat kFormats[] = {StorageFormat::q8, StorageFormat::q4};

class Quantized : public testing::OnGpu {
 protected:
  Context& widening() {
    if (!widening_) widening_ = std::make_unique<Context>(context().stream(), kMiB, kMiB);
    return *widening_;
  }

 private:
  std::unique_ptr<Context> widening_;
};

// Rows of a weight.
struct Coded {
  RowFormat format;
  std::int64_t rows;
  std::vector<std::byte> bytes;

  Coded(testing::Random& random, StorageFormat storage, std::int64_t rows_, std::int64_t columns)
      : format{storage, DType::f16, columns},
        rows(rows_),
        bytes(static_cast<Bytes>(rows) * format.row_bytes()) {
    const auto numbers = random.floats(rows * columns, 0.1f);
    for (std::int64_t r = 0; r < rows; ++r)
      kernels::quantize(format, 1, numbers.data() + r * columns,
                        bytes.data() + static_cast<Bytes>(r) * format.row_bytes());
  }
};

TEST_F(Quantized, WidenedRowsAreTheCpusRoundedToHalves) {
  for (const StorageFormat storage : kFormats)
    for (const std::int64_t columns : {1, 7, 8, 64, 72, 100, 192, 768, 7168})
      for (const std::int64_t shift : {0, 1}) {
        const Coded weight(random, storage, 5, columns);
        std::vector<std::byte> shifted(static_cast<std::size_t>(shift));
        shifted.insert(shifted.end(), weight.bytes.begin(), weight.bytes.end());
        const Array<std::byte> there(shifted);
        const auto out = Array<Half>::filled(5 * columns + 1, kPoison);
        widen_rows(context(), there.at(shift), 5, weight.format, out.get());
        std::vector<float> row(static_cast<std::size_t>(columns));
        std::vector<Half> expected;
        for (std::int64_t r = 0; r < 5; ++r) {
          kernels::dequantize(weight.format, 1,
                              weight.bytes.data() + static_cast<Bytes>(r) * weight.format.row_bytes(),
                              row.data());
          for (const float value : row) expected.push_back(float_to_half(value));
        }
        expected.push_back(kPoison);
        EXPECT_EQ(out.values(), expected) << name_of(storage) << ", " << columns << " columns";
      }
}

TEST_F(Quantized, ProductsAreTheCpus) {
  for (const StorageFormat storage : kFormats)
    for (const auto& [m, n, k] :
         {std::array<std::int64_t, 3>{1, 64, 64}, {7, 200, 768}, {48, 1000, 1024}, {300, 136, 80}}) {
      const Coded weight(random, storage, n, k);
      const Halves x(random, m * k), bias(random, n);
      const std::int64_t cut = n / 24 * 8;  // two pieces, apart in memory
      const auto bytes = static_cast<std::ptrdiff_t>(static_cast<Bytes>(cut) * weight.format.row_bytes());
      const Array<std::byte> first(
          std::vector<std::byte>(weight.bytes.begin(), weight.bytes.begin() + bytes));
      const Array<std::byte> second(std::vector<std::byte>(weight.bytes.begin() + bytes, weight.bytes.end()));
      const Matrix matrix{k,
                          {Piece{reinterpret_cast<const Half*>(first.get()), cut},
                           Piece{reinterpret_cast<const Half*>(second.get()), n - cut}},
                          storage};
      const auto there = x.upload(), bias_there = bias.upload(), out = Array<Half>::filled(m * n, kPoison);
      linear(widening(), there.get(), k, m, matrix, bias_there.get(), Epilogue::relu, out.get(), n);
      const MatrixPiece whole{weight.bytes.data(), n};
      std::vector<float> expected(static_cast<std::size_t>(m * n));
      kernels::linear(x.values.data(), k, m, {DType::f16, n, k, {&whole, 1}, storage},
                      {DType::f16, bias.bytes()}, Epilogue::relu, expected.data(), n, 4);
      EXPECT_LT(testing::relative_error(testing::widen(out.values()), testing::widen(expected)),
                testing::kTolerance)
          << name_of(storage) << ' ' << m << " x " << n << " x " << k;
    }
}

// Whether a product reads all of a widened weight or one part of it after another.
TEST_F(Quantized, ProductsOfPartsHaveTheBitsOfTheWhole) {
  constexpr std::int64_t n = 3000, k = 1024;  // 6 MiB, in parts of at most 1 MiB
  for (const StorageFormat storage : kFormats) {
    const Coded weight(random, storage, n, k);
    const Array<std::byte> codes(weight.bytes);
    const auto widened = Array<Half>::filled(n * k, kPoison);
    widen_rows(context(), codes.get(), n, weight.format, widened.get());
    const Matrix in_parts{k, {Piece{reinterpret_cast<const Half*>(codes.get()), n}}, storage};
    const Matrix whole{k, {Piece{widened.get(), n}}};
    for (const std::int64_t m : {1, 2, 48, 96, 300, 2100}) {
      const Halves x(random, m * k), bias(random, n);
      const auto there = x.upload(), bias_there = bias.upload();
      const auto parts = Array<Half>::filled(m * n, kPoison), all = Array<Half>::filled(m * n, kPoison);
      linear(widening(), there.get(), k, m, in_parts, bias_there.get(), Epilogue::relu, parts.get(), n);
      linear(context(), there.get(), k, m, whole, bias_there.get(), Epilogue::relu, all.get(), n);
      EXPECT_EQ(parts.values(), all.values()) << name_of(storage) << ", " << m << " rows";
    }
  }
}

TEST_F(Quantized, NewKeysAndValuesHaveTheCpusBits) {
  for (const StorageFormat storage : kFormats)
    for (const std::int64_t dim : {16, 64, 80, 25, 128, 1})
      for (const std::int64_t shift : {0, 1})
        Batch(random, {.heads = 5,
                       .dim = dim,
                       .sequences = {{0, 33}, {7, 1, {2}}, {0, 1, {1, 3}}, {12, 9}},
                       .padding = 8,
                       .shift = shift,
                       .format = storage})
            .append_and_check(context());
}

TEST_F(Quantized, NewKeysAndValuesThatAreNoNumbers) {
  for (const StorageFormat storage : kFormats)
    for (const std::int64_t dim : {64, 80, 128})
      Batch(random, {.heads = 5,
                     .dim = dim,
                     .sequences = {{0, 9}, {3, 4, {2}}},
                     .padding = 8,
                     .format = storage,
                     .odd = true})
          .append_and_check(context());
}

BatchShape ragged(std::int64_t heads, std::int64_t dim, StorageFormat storage) {
  return {.heads = heads,
          .dim = dim,
          .sequences = {{0, 1}, {1, 1}, {30, 1}, {63, 1}, {64, 1}, {511, 1}, {700, 1, {1}}},
          .padding = 8,
          .format = storage};
}

TEST_F(Quantized, DecodeAttentionIsTheCpus) {
  for (const StorageFormat storage : kFormats)
    for (const std::int64_t dim : {1, 7, 8, 16, 32, 64, 80, 96, 100, 128, 200, 256})
      for (const std::int64_t shift : {0, 1}) {
        BatchShape shape = ragged(3, dim, storage);
        shape.shift = shift;
        Batch(random, shape).attend_and_check(context(), true);
      }
  for (const StorageFormat storage : kFormats)  // so many tasks that no context is split
    Batch(random, {.heads = 40,
                   .dim = 128,
                   .sequences = std::vector<testing::SequenceShape>(20, {130, 1, {7}}),
                   .format = storage})
        .attend_and_check(context(), true);
}

TEST_F(Quantized, PrefillAttentionIsTheCpus) {
  for (const StorageFormat storage : kFormats)
    for (const std::int64_t dim : {16, 25, 40, 64, 72, 80, 96, 128, 200})
      Batch(random, {.heads = 3,
                     .dim = dim,
                     .sequences = {{0, 1}, {0, 64}, {0, 65}, {0, 200, {1}}, {70, 130}, {5, 9}},
                     .padding = 8,
                     .format = storage})
          .attend_and_check(context(), false);
}

// Heads of a prompt in several segments, and prompts of any length.
TEST_F(Quantized, PromptsWidenedBeforehandHaveTheSameBits) {
  for (const StorageFormat storage : kFormats)
    for (const std::int64_t dim : {64, 128})
      for (const std::int64_t heads : {3, 8})
        for (const std::int64_t shift : {0, 2})  // segments begin at multiples of 16 and of 4 bytes
          Batch(random, {.heads = heads,
                         .dim = dim,
                         .sequences = {{0, 1}, {0, 64}, {0, 130, {1}}, {0, 200, {1, 1}}, {0, 9}},
                         .padding = 8,
                         .shift = shift,
                         .format = storage})
              .widen_and_check(context());
}

// How much room the sequences before it have decides where a segment begins.
TEST_F(Quantized, WhereSegmentsBeginChangesNoBits) {
  constexpr std::int64_t kHeads = 3, kPositions = 150;
  for (const StorageFormat storage : kFormats)
    for (const std::int64_t dim : {16, 64, 80, 128}) {
      const RowFormat row{storage, DType::f16, dim};
      const std::int64_t stride = kHeads * dim;
      const auto bytes = kPositions * row.row_bytes(kHeads);
      std::vector<std::byte> codes(2 * bytes);  // keys, then values
      for (std::size_t i = 0; i < 2 * kPositions; ++i)
        kernels::quantize(row, kHeads, random.floats(stride, 1).data(),
                          codes.data() + i * row.row_bytes(kHeads));
      const auto q = Halves(random, kPositions * stride).upload();
      const auto attend = [&](std::size_t begin, bool decode) {
        std::vector<std::byte> pool(begin);
        pool.insert(pool.end(), codes.begin(), codes.end());
        const Array<std::byte> there(pool);
        const auto half = [&](std::size_t at) {
          return reinterpret_cast<Half*>(there.at(static_cast<std::int64_t>(begin + at)));
        };
        const std::int32_t rows = decode ? 1 : kPositions;
        const std::vector<KvTask> tasks{{.keys = half(0),
                                         .values = half(bytes),
                                         .rows = rows,
                                         .position = static_cast<std::int32_t>(kPositions) - rows,
                                         .heads = kHeads}};
        const Array<KvTask> tasks_there(tasks);
        KvBatch batch = batch_of(tasks, tasks_there.get());
        batch.format = storage;
        const auto out = Array<Half>::filled(rows * stride, kPoison);
        (decode ? attention_decode : attention_prefill)(context(), batch, dim,
                                                        {q.get(), out.get(), stride, stride});
        return out.values();
      };
      for (const bool decode : {false, true})
        for (const std::size_t begin : {4, 8, 12})
          EXPECT_EQ(attend(begin, decode), attend(0, decode))
              << name_of(storage) << ", dim " << dim << ", from byte " << begin << (decode ? ", decode" : "");
    }
}

}  // namespace
}  // namespace optpipe::kernels::cuda
