#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>

#include "optpipe/kernels/cpu.hpp"
#include "unit/kernels/support.hpp"

namespace optpipe::kernels {
namespace {

using testing::Numbers;
using testing::same_bits;

// A score is at most some ten roundings of 2^-24 of its terms away, whose absolute values add up to 8 or less
// here: 5e-6 at worst, and under half of that as signs are random. That is the relative error of a
// probability. Measured in double with the same stored keys and values, relative to the sum of the absolute
// values of an element's terms.
constexpr double kTolerance = 2e-6;

struct Sequence {
  std::int64_t context, heads, dim, padding;
  std::vector<float> q;  // [context, q_stride]
  Numbers k, v;          // [context, kv_stride]

  Sequence(DType type, std::int64_t context_, std::int64_t heads_, std::int64_t dim_,
           std::int64_t padding_ = 0)
      : context(context_), heads(heads_), dim(dim_), padding(padding_) {
    testing::Random random(static_cast<std::uint64_t>(context * 100003 + heads * 1009 + dim));
    q = random.floats(context * stride(), 1.5f);
    k = random.numbers(type, context * stride());
    v = random.numbers(type, context * stride());
  }
  std::int64_t stride() const { return heads * dim + padding; }

  // Queries [first, first + rows) of heads [head, head + count).
  AttentionTask task(std::vector<float>& out, std::int64_t first, std::int64_t rows, std::int64_t head,
                     std::int64_t count) const {
    const std::int64_t at = first * stride() + head * dim;
    return {.q = q.data() + at,
            .k = k.at(head * dim),
            .v = v.at(head * dim),
            .out = out.data() + at,
            .rows = rows,
            .context = first + rows,
            .heads = count,
            .q_stride = stride(),
            .kv_stride = stride()};
  }
  std::vector<float> poisoned() const { return std::vector<float>(q.size(), testing::kPoison); }

  std::vector<float> run(std::int64_t first, std::int64_t rows, int threads = 1) const {
    std::vector<float> out = poisoned();
    const AttentionTask all = task(out, first, rows, 0, heads);
    attention({&all, 1}, dim, k.type, threads);
    return out;
  }
  std::span<const float> row(const std::vector<float>& out, std::int64_t i) const {
    return std::span(out).subspan(static_cast<std::size_t>(i * stride()),
                                  static_cast<std::size_t>(heads * dim));
  }

  // Of one query: the values, and the sums of their terms' absolute values.
  std::pair<std::vector<double>, std::vector<double>> expected(
      std::int64_t query, std::size_t kept = std::numeric_limits<std::size_t>::max()) const {
    std::pair<std::vector<double>, std::vector<double>> result;
    for (std::int64_t h = 0; h < heads; ++h) {
      std::vector<double> weights;
      double most = -INFINITY, total = 0;
      for (std::int64_t p = 0; p <= query; ++p) {
        double score = 0;
        for (std::int64_t i = 0; i < dim; ++i)
          score += q[static_cast<std::size_t>(query * stride() + h * dim + i)] *
                   k.values[static_cast<std::size_t>(p * stride() + h * dim + i)];
        weights.push_back(score / std::sqrt(static_cast<double>(dim)));
        most = std::max(most, weights.back());
      }
      for (double& weight : weights) total += weight = std::exp(weight - most);
      if (kept + 1 < weights.size()) {
        std::vector<std::size_t> order(weights.size() - 1);
        std::iota(order.begin(), order.end(), std::size_t{0});
        std::ranges::stable_sort(order, std::greater<>(), [&](std::size_t p) { return weights[p]; });
        for (std::size_t i = kept; i < order.size(); ++i) weights[order[i]] = 0;
      }
      for (std::int64_t i = 0; i < dim; ++i) {
        double sum = 0, magnitude = 0;
        for (std::int64_t p = 0; p <= query; ++p) {
          const double term = weights[static_cast<std::size_t>(p)] / total *
                              v.values[static_cast<std::size_t>(p * stride() + h * dim + i)];
          sum += term;
          magnitude += std::abs(term);
        }
        result.first.push_back(sum);
        result.second.push_back(magnitude);
      }
    }
    return result;
  }
};

using Attention = testing::OnTarget;
INSTANTIATE_ON_TARGETS(Attention);

TEST_P(Attention, EqualsTheReference) {
  for (const DType type : testing::kAllTypes)
    for (const std::int64_t dim : {1, 7, 16, 64, 80, 100, 128})
      for (const std::int64_t context : {1, 2, 5, 50, 67, 131}) {
        const Sequence sequence(type, context, 3, dim, dim % 3);
        const auto out = sequence.run(0, context);
        for (std::int64_t i = 0; i < context; ++i) {
          const auto [values, magnitudes] = sequence.expected(i);
          ASSERT_LT(testing::rounding_error(sequence.row(out, i), values, magnitudes), kTolerance)
              << name_of(type) << " dim " << dim << " context " << context << " query " << i;
        }
      }
}

TEST_P(Attention, DecodeHasPrefillsBits) {
  for (const DType type : testing::kAllTypes)
    for (const std::int64_t dim : {7, 64, 80}) {
      const Sequence sequence(type, 150, 5, dim);
      const auto prefill = sequence.run(0, sequence.context);
      for (std::int64_t i = 0; i < sequence.context; ++i)
        ASSERT_TRUE(same_bits(sequence.row(sequence.run(i, 1), i), sequence.row(prefill, i)))
            << name_of(type) << " dim " << dim << " query " << i;
    }
}

TEST_P(Attention, PartialPrefillHasTheSameBits) {
  const Sequence sequence(DType::f16, 140, 2, 64);
  const auto whole = sequence.run(0, 140);
  for (const std::int64_t first : {1, 40, 63, 64, 65, 100})
    for (const std::int64_t rows : {2, 3, 12, 40}) {
      const auto part = sequence.run(first, rows);
      for (std::int64_t i = first; i < first + rows; ++i)
        ASSERT_TRUE(same_bits(sequence.row(part, i), sequence.row(whole, i)))
            << first << " + " << rows << ": " << i;
      EXPECT_TRUE(std::isnan(sequence.row(part, first - 1)[0])) << "written before the first query";
    }
}

TEST_P(Attention, NothingLeaksFromLaterPositions) {
  Sequence sequence(DType::f16, 100, 2, 64);
  const auto before = sequence.run(0, 100);
  for (std::int64_t i = 57 * sequence.stride(); i < 100 * sequence.stride(); ++i)
    for (Numbers* cache : {&sequence.k, &sequence.v})
      cache->bytes[static_cast<std::size_t>(2 * i + 1)] = std::byte{0x7e};  // NaN
  const auto after = sequence.run(0, 100);
  for (std::int64_t i = 0; i < 57; ++i)
    ASSERT_TRUE(same_bits(sequence.row(after, i), sequence.row(before, i))) << "query " << i;
  EXPECT_TRUE(std::isnan(sequence.row(after, 57)[0]));
}

TEST_P(Attention, HeadsMayBeSplitOverTasksAndThreads) {
  for (const std::int64_t rows : {1, 90}) {
    const Sequence sequence(DType::bf16, 90, 7, 64, 10);
    const std::int64_t first = sequence.context - rows;
    const auto whole = sequence.run(first, rows);
    for (const int threads : {1, 2, 3, 16}) {
      std::vector<float> out = sequence.poisoned();
      const AttentionTask tasks[] = {sequence.task(out, first, rows, 0, 2),
                                     sequence.task(out, first, rows, 2, 0),
                                     sequence.task(out, first, rows, 2, 5)};
      attention(tasks, sequence.dim, DType::bf16, threads);
      EXPECT_TRUE(same_bits(out, whole)) << rows << " rows on " << threads;
      EXPECT_TRUE(same_bits(sequence.run(first, rows, threads), whole)) << rows << " rows on " << threads;
    }
  }
}

TEST_P(Attention, RaggedTasksDoNotMix) {
  const std::int64_t lengths[] = {1, 33, 200, 64};
  std::vector<Sequence> sequences;
  std::vector<std::vector<float>> outs;
  for (const std::int64_t length : lengths) sequences.emplace_back(DType::f16, length, 4, 32);
  for (const Sequence& sequence : sequences) outs.push_back(sequence.poisoned());
  std::vector<AttentionTask> tasks;
  for (std::size_t i = 0; i < sequences.size(); ++i) {
    const std::int64_t rows = i % 2 == 0 ? 1 : lengths[i];
    tasks.push_back(sequences[i].task(outs[i], lengths[i] - rows, rows, 0, 4));
  }
  attention(tasks, 32, DType::f16, 3);
  for (std::size_t i = 0; i < sequences.size(); ++i) {
    const std::int64_t rows = tasks[i].rows;
    EXPECT_TRUE(same_bits(outs[i], sequences[i].run(lengths[i] - rows, rows))) << "task " << i;
  }
}

TEST_P(Attention, HugeScoresGiveNoNaN) {
  Sequence sequence(DType::f32, 20, 1, 16);
  for (float& value : sequence.q) value = 1e30f;
  for (std::size_t i = 0; i < sequence.k.values.size(); ++i) {
    const float huge = i / 16 % 2 ? -3e38f : 3e38f;
    std::copy_n(reinterpret_cast<const std::byte*>(&huge), 4,
                sequence.k.bytes.begin() + static_cast<long>(4 * i));
    std::copy_n(reinterpret_cast<const std::byte*>(&huge), 4,
                sequence.v.bytes.begin() + static_cast<long>(4 * i));
  }
  for (const float value : sequence.run(0, 20)) EXPECT_TRUE(std::isfinite(value));
  EXPECT_TRUE(same_bits(sequence.row(sequence.run(19, 1), 19), sequence.row(sequence.run(0, 20), 19)));
}

// FlexGen's sparse attention, written out: the softmax over all positions, then the sum over the values with
// the largest weights and the newest one.
TEST_P(Attention, SparseCountsTheLargestWeightsOnly) {
  for (const DType type : testing::kAllTypes)
    for (const std::int64_t context : {1, 2, 70, 131})
      for (const double sparsity : {0.0, 0.1, 0.5, 0.99, 1.0}) {
        const Sequence sequence(type, context, 3, 64, 1);
        std::vector<float> out = sequence.poisoned();
        AttentionTask task = sequence.task(out, context - 1, 1, 0, 3);
        task.kept = kept_positions(sparsity, context);
        attention({&task, 1}, 64, type, 2);
        const auto kept = sparsity < 1 ? static_cast<std::size_t>(sparsity * static_cast<double>(context - 1))
                                       : static_cast<std::size_t>(context - 1);
        const auto [values, magnitudes] = sequence.expected(context - 1, kept);
        ASSERT_LT(testing::rounding_error(sequence.row(out, context - 1), values, magnitudes), kTolerance)
            << name_of(type) << " context " << context << " sparsity " << sparsity;
      }
}

TEST_P(Attention, NoTasksAndNoRowsDoNothing) {
  attention({}, 64, DType::f16, 2);
  const AttentionTask empty{.heads = 2};
  attention({&empty, 1}, 64, DType::f16, 2);
}

}  // namespace
}  // namespace optpipe::kernels
