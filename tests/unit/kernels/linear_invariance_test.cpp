// An element of a linear operation's result has the same bits whatever it is computed beside.
#include <thread>

#include "unit/kernels/linear_case.hpp"

namespace optpipe::kernels {
namespace {

using testing::LinearCase;
using testing::same_bits;

using LinearInvariance = testing::OnTarget;
INSTANTIATE_ON_TARGETS(LinearInvariance);

std::span<const float> rows(const std::vector<float>& out, std::int64_t first, std::int64_t count,
                            std::int64_t n) {
  return std::span(out).subspan(static_cast<std::size_t>(first * n), static_cast<std::size_t>(count * n));
}

TEST_P(LinearInvariance, OverBatches) {
  for (const DType type : testing::kAllTypes)
    for (const std::int64_t k : {80, 1000, 2500}) {
      const LinearCase linear(type, 70, 45, k);
      const auto all = linear.run();
      for (std::int64_t count = 1; count <= linear.m; ++count) {
        const std::int64_t first = linear.m - count;
        ASSERT_TRUE(same_bits(linear.run(1, first, count), rows(all, first, count, linear.n)))
            << name_of(type) << " k " << k << ", " << count << " rows of " << linear.m;
      }
    }
}

TEST_P(LinearInvariance, OverALargeBatch) {
  const LinearCase linear(DType::f16, 517, 200, 1100);
  const auto all = linear.run(2);
  for (const std::int64_t first : {0, 251, 252, 253, 516})
    EXPECT_TRUE(same_bits(linear.run(1, first, 1), rows(all, first, 1, linear.n))) << "row " << first;
}

TEST_P(LinearInvariance, OverThreads) {
  for (const std::int64_t m : {1, 2, 9, 130})
    for (const std::int64_t n : {5, 129, 700}) {
      const LinearCase linear(DType::f16, m, n, 333);
      const auto alone = linear.run(1);
      for (const int threads : {2, 3, 16})
        EXPECT_TRUE(same_bits(linear.run(threads), alone)) << m << " x " << n << " on " << threads;
    }
}

TEST_P(LinearInvariance, OverPieces) {
  for (const std::int64_t m : {1, 8, 40}) {
    const LinearCase linear(DType::f16, m, 129, 77);
    const auto whole = linear.run();
    for (const std::vector<std::int64_t>& cut : {std::vector<std::int64_t>{1, 128},
                                                 {64, 65},
                                                 {0, 129},
                                                 {129, 0},
                                                 {31, 0, 98},
                                                 {2, 3, 124},
                                                 {50, 78, 1}}) {
      std::vector<std::vector<std::byte>> memory;  // each piece on its own
      std::vector<MatrixPiece> pieces;
      std::int64_t first = 0;
      for (const std::int64_t count : cut) {
        memory.emplace_back(linear.weight.at(first * linear.k), linear.weight.at((first + count) * linear.k));
        first += count;
      }
      for (std::size_t i = 0; i < cut.size(); ++i) pieces.push_back({memory[i].data(), cut[i]});
      EXPECT_TRUE(same_bits(linear.run(2, 0, m, pieces), whole)) << "m " << m << ", first cut " << cut[0];
    }
  }
}

TEST_P(LinearInvariance, OverNeighbouringColumns) {
  const LinearCase linear(DType::bf16, 20, 101, 200);
  const auto whole = linear.run();
  for (const std::int64_t first : {0, 1, 50, 97}) {
    LinearCase part = linear;
    part.n = part.out_stride = 3;
    const MatrixPiece piece{linear.weight.at(first * linear.k), 3};
    part.bias.bytes.assign(linear.bias.at(first), linear.bias.at(first) + 6);
    const auto out = part.run(1, 0, 20, {&piece, 1});
    for (std::int64_t r = 0; r < 20; ++r)
      EXPECT_TRUE(same_bits(rows(out, r, 1, 3),
                            std::span(whole).subspan(static_cast<std::size_t>(r * linear.n + first), 3)));
  }
}

TEST_P(LinearInvariance, OverAddressesOfX) {
  const LinearCase linear(DType::f16, 30, 50, 1120);  // k = stride: a multiple of every vector
  const auto expected = linear.run();
  std::vector<float> memory(linear.x.size() + 64, testing::kPoison);
  const auto misaligned = reinterpret_cast<std::uintptr_t>(memory.data()) % 64 / sizeof(float);
  const MatrixPiece piece{linear.weight.bytes.data(), linear.n};
  for (const std::size_t offset : {0, 1, 4, 8}) {
    float* x = memory.data() + (16 - misaligned) % 16 + offset;
    std::copy(linear.x.begin(), linear.x.end(), x);
    std::vector<float> out(expected.size(), testing::kPoison);
    kernels::linear(x, linear.k, linear.m, {DType::f16, linear.n, linear.k, {&piece, 1}}, linear.bias_view(),
                    Epilogue::none, out.data(), linear.n, 1);
    EXPECT_TRUE(same_bits(out, expected)) << offset << " floats after a cache line's begin";
  }
}

TEST_P(LinearInvariance, OverCallersAtATime) {
  const LinearCase linear(DType::f16, 24, 300, 256);
  const auto alone = linear.run();
  std::vector<std::vector<float>> results(4);
  std::vector<std::thread> ranks;
  for (auto& result : results)
    ranks.emplace_back([&] {
      for (int i = 0; i < 20; ++i) result = linear.run(2);
    });
  for (auto& rank : ranks) rank.join();
  for (const auto& result : results) EXPECT_TRUE(same_bits(result, alone));
}

}  // namespace
}  // namespace optpipe::kernels
