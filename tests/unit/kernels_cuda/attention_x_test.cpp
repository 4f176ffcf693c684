// Attention over X on the GPU against its definition: keys and values computed from X in double precision.
#include <cmath>

#include "optpipe/kernels/cuda_x.hpp"
#include "optpipe/kernels/quantized.hpp"
#include "unit/kernels_cuda/device.hpp"

namespace optpipe::kernels::cuda {
namespace {

using testing::Array;
using testing::Halves;
using testing::kPoison;

constexpr std::int64_t kSpare = 3;  // positions of capacity behind the context

// Queries absorbed into Wk, weights, sums of X and results are rounded, one after another.
constexpr double kFourRoundings = 4 * testing::kRounding;

struct Weight {
  std::vector<float> values;  // [h, h]
  Array<std::byte> bytes;
  Matrix matrix;  // cut into three pieces, at rows inside heads

  Weight(std::vector<float> values_, const std::vector<std::byte>& there, std::int64_t h,
         StorageFormat format)
      : values(std::move(values_)), bytes(there), matrix{.columns = h, .format = format} {
    const Bytes row = matrix.row_format().row_bytes();
    const std::int64_t cuts[] = {0, h / 3, h / 3, h};
    const std::size_t where[] = {0, 2};  // the one in the middle is empty
    for (const std::size_t i : where)
      matrix.pieces[i] = {reinterpret_cast<const Half*>(bytes.get() + static_cast<Bytes>(cuts[i]) * row),
                          cuts[i + 1] - cuts[i]};
  }
};

Weight native(testing::Random& random, std::int64_t h) {
  const Halves halves(random, h * h, 1 / std::sqrt(static_cast<float>(h)));
  const auto* bytes = halves.bytes();
  return {halves.values, {bytes, bytes + halves.bits.size() * sizeof(Half)}, h, StorageFormat::native};
}
Weight coded(testing::Random& random, std::int64_t h, StorageFormat storage) {
  auto values = random.floats(h * h, 1 / std::sqrt(static_cast<float>(h)));
  const RowFormat format{storage, DType::f16, h};
  std::vector<std::byte> bytes(static_cast<Bytes>(h) * format.row_bytes());
  for (std::int64_t r = 0; r < h; ++r) {
    std::byte* row = bytes.data() + static_cast<Bytes>(r) * format.row_bytes();
    kernels::quantize(format, 1, values.data() + r * h, row);
    kernels::dequantize(format, 1, row, values.data() + r * h);
  }
  return {values, bytes, h, storage};
}

class AttentionX : public testing::OnGpu {
 protected:
  struct Case {
    std::int64_t heads, dim;
    std::vector<std::int64_t> contexts;
    bool with_bias = true;
    StorageFormat format = StorageFormat::native;
    std::int64_t shift = 0;  // halves by which X is off its alignment
  };

  void check(const Case& c) {
    const std::int64_t h = c.heads * c.dim, rows = static_cast<std::int64_t>(c.contexts.size());
    const auto weight = [&] {
      return is_quantized(c.format) ? coded(random, h, c.format) : native(random, h);
    };
    const Weight k = weight(), v = weight();
    const Halves q(random, rows * h, 2), k_bias(random, h), v_bias(random, h);
    std::vector<Halves> inputs;
    std::vector<Half> pool(static_cast<std::size_t>(c.shift), kPoison);
    std::vector<std::int64_t> begins;
    std::int64_t longest = 0;
    for (const std::int64_t context : c.contexts) {
      inputs.emplace_back(random, context * h);
      begins.push_back(static_cast<std::int64_t>(pool.size()));
      pool.insert(pool.end(), inputs.back().bits.begin(), inputs.back().bits.end());
      pool.insert(pool.end(), static_cast<std::size_t>(kSpare * h), kPoison);
      longest = std::max(longest, context);
    }
    const Array<Half> there(pool);
    std::vector<KvTask> tasks;
    for (std::int64_t i = 0; i < rows; ++i) {
      KvTask task;
      task.keys = there.at(begins[static_cast<std::size_t>(i)]);
      task.first_row = static_cast<std::int32_t>(i);
      task.rows = 1;
      task.position = static_cast<std::int32_t>(c.contexts[static_cast<std::size_t>(i)] - 1);
      task.heads = 1;
      tasks.push_back(task);
    }
    const Array<KvTask> uploaded(tasks);
    const std::int64_t stride = (longest + kSpare + 63) / 64 * 64;
    const auto out = Array<Half>::filled(rows * h, kPoison);
    const auto absorbed = Array<Half>::filled(rows * c.heads * h, kPoison),
               weights = Array<Half>::filled(rows * c.heads * stride, kPoison);
    const auto scores = Array<float>::filled(rows * c.heads * stride, kernels::testing::kPoison);
    const auto device_q = q.upload(), device_bias = v_bias.upload();
    KvBatch batch = batch_of(tasks, uploaded.get());
    batch.most_context = static_cast<std::int32_t>(longest + kSpare);  // bounds may be larger than necessary
    Context widening(context().stream(), kMiB, Bytes{2} * static_cast<Bytes>(c.dim * h) * sizeof(Half));
    attention_x(widening, batch,
                {.heads = c.heads,
                 .head_dim = c.dim,
                 .k_weight = k.matrix,
                 .v_weight = v.matrix,
                 .v_bias = c.with_bias ? device_bias.get() : nullptr,
                 .rows = rows,
                 .q = device_q.get(),
                 .out = out.get(),
                 .absorbed = absorbed.get(),
                 .scores = scores.get(),
                 .weights = weights.get(),
                 .score_stride = stride});
    const auto actual = testing::widen(out.values());
    for (std::int64_t i = 0; i < rows; ++i) {
      const auto begin = static_cast<std::size_t>(i * h);
      const auto expected = attend(c, inputs[static_cast<std::size_t>(i)].values, k.values, k_bias.values,
                                   v.values, c.with_bias ? v_bias.values : std::vector<float>{},
                                   std::span(q.values).subspan(begin, static_cast<std::size_t>(h)));
      EXPECT_LT(
          testing::relative_error(std::span(actual).subspan(begin, static_cast<std::size_t>(h)), expected),
          kFourRoundings)
          << c.heads << " heads of " << c.dim << ", context " << c.contexts[static_cast<std::size_t>(i)]
          << ", " << name_of(c.format);
    }
  }

 private:
  // One token's attention, by way of keys and values.
  static std::vector<double> attend(const Case& c, const std::vector<float>& x, const std::vector<float>& k,
                                    const std::vector<float>& k_bias, const std::vector<float>& v,
                                    const std::vector<float>& v_bias, std::span<const float> q) {
    const auto h = static_cast<std::size_t>(c.heads * c.dim), dim = static_cast<std::size_t>(c.dim);
    const std::size_t context = x.size() / h;
    const auto project = [&](const std::vector<float>& weight, const std::vector<float>& bias,
                             std::size_t position, std::size_t row) {
      double sum = bias.empty() ? 0 : bias[row];
      for (std::size_t i = 0; i < h; ++i)
        sum += static_cast<double>(weight[row * h + i]) * x[position * h + i];
      return sum;
    };
    std::vector<double> out(h, 0);
    for (std::size_t head = 0; head < h; head += dim) {
      std::vector<double> scores;
      double most = -INFINITY, total = 0;
      for (std::size_t p = 0; p < context; ++p) {
        double score = 0;
        for (std::size_t i = head; i < head + dim; ++i) score += q[i] * project(k, k_bias, p, i);
        scores.push_back(score / std::sqrt(static_cast<double>(dim)));
        most = std::max(most, scores.back());
      }
      for (double& score : scores) total += score = std::exp(score - most);
      for (std::size_t i = head; i < head + dim; ++i)
        for (std::size_t p = 0; p < context; ++p) out[i] += scores[p] / total * project(v, v_bias, p, i);
    }
    return out;
  }
};

TEST_F(AttentionX, EqualsThatOverKeysAndValues) {
  for (const auto& [heads, dim] :
       {std::pair<std::int64_t, std::int64_t>{1, 64}, {4, 64}, {3, 80}, {2, 128}, {12, 16}})
    check({heads, dim, {1, 2, 63, 64, 65, 130, 200}});
}

TEST_F(AttentionX, MoreHeadsThanATileHasRows) { check({70, 8, {1, 70, 129}}); }

TEST_F(AttentionX, MoreRowsThanATile) {
  std::vector<std::int64_t> contexts;
  for (std::int64_t i = 0; i < 70; ++i) contexts.push_back(1 + i % 9);
  check({4, 16, contexts});
}

TEST_F(AttentionX, LongContexts) { check({2, 64, {2047, 700}}); }

TEST_F(AttentionX, AnyShapeAndAlignmentWorks) {
  check({3, 7, {1, 9, 65}});
  check({2, 20, {30, 5}});
  check({.heads = 2, .dim = 64, .contexts = {90, 9}, .shift = 1});
}

TEST_F(AttentionX, WithoutBias) { check({.heads = 2, .dim = 64, .contexts = {50}, .with_bias = false}); }

// The context has room for two heads at a time.
TEST_F(AttentionX, QuantizedWeights) {
  for (const StorageFormat format : {StorageFormat::q8, StorageFormat::q4})
    check({.heads = 5, .dim = 32, .contexts = {3, 100}, .format = format});
}

TEST_F(AttentionX, BitsDoNotDependOnTheBatch) {
  const std::int64_t heads = 4, dim = 64, h = heads * dim, context_length = 100, stride = 128;
  const Weight k = native(random, h), v = native(random, h);
  const auto q = Halves(random, h).upload();
  const auto x = Halves(random, context_length * h).upload();
  const auto run = [&](std::int64_t rows) {
    std::vector<Half> queries;
    for (std::int64_t i = 0; i < rows; ++i)
      for (const Half each : q.values()) queries.push_back(each);
    const Array<Half> all(queries);
    std::vector<KvTask> tasks;
    for (std::int64_t i = 0; i < rows; ++i)
      tasks.push_back({x.get(), nullptr, static_cast<std::int32_t>(i), 1,
                       static_cast<std::int32_t>(context_length - 1), 0, 1});
    const Array<KvTask> uploaded(tasks);
    const auto out = Array<Half>::filled(rows * h, kPoison),
               absorbed = Array<Half>::filled(rows * heads * h, 0),
               weights = Array<Half>::filled(rows * heads * stride, 0);
    const auto scores = Array<float>::filled(rows * heads * stride, 0);
    attention_x(context(), batch_of(tasks, uploaded.get()),
                {heads, dim, k.matrix, v.matrix, nullptr, rows, all.get(), out.get(), absorbed.get(),
                 scores.get(), weights.get(), stride});
    return out.values();
  };
  const auto alone = run(1), many = run(67);
  for (std::size_t i = 0; i < many.size(); ++i)
    ASSERT_EQ(many[i], alone[i % static_cast<std::size_t>(h)]) << "element " << i;
}

// Rows of X into segments and out of them.
TEST_F(AttentionX, RowsGoToTheCacheAndBack) {
  for (const std::int64_t h : {7, 64, 7168}) {
    const Halves rows(random, 9 * h);
    const auto packed = rows.upload();
    const auto first = Array<Half>::filled(6 * h, kPoison), second = Array<Half>::filled(9 * h, kPoison),
               back = Array<Half>::filled(9 * h, kPoison);
    const std::vector<KvTask> tasks{{first.get(), nullptr, 0, 4, 2, 0, 1},
                                    {second.get(), nullptr, 4, 5, 0, 0, 1}};
    const Array<KvTask> uploaded(tasks);
    const KvBatch batch = batch_of(tasks, uploaded.get());
    append_x(context(), batch, h, packed.get());
    const auto cached = first.values();
    for (std::int64_t i = 0; i < 2 * h; ++i) ASSERT_EQ(cached[static_cast<std::size_t>(i)], kPoison);
    for (std::int64_t i = 0; i < 4 * h; ++i)
      ASSERT_EQ(cached[static_cast<std::size_t>(2 * h + i)], rows.bits[static_cast<std::size_t>(i)]);
    gather_x(context(), batch, h, back.get());
    EXPECT_EQ(back.values(), rows.bits);
  }
}

}  // namespace
}  // namespace optpipe::kernels::cuda
