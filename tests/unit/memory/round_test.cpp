#include "optpipe/memory/round.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace optpipe::memory {
namespace {

std::vector<Sequence> make_sequences(std::int64_t count) {
  std::vector<Sequence> sequences;
  for (std::int64_t i = 0; i < count; ++i) sequences.push_back({i, 1 + i % 5, 1 + i % 3});
  return sequences;
}

TEST(Rounds, HoldEveryPromptOnceInOrder) {
  for (const std::int64_t count : {1, 5, 24, 25, 61}) {
    const auto rounds = make_rounds(make_sequences(count), {.gpu_batch_size = 4, .gpu_batches = 2}, 3);
    EXPECT_EQ(rounds.size(), static_cast<std::size_t>((count + 23) / 24));
    std::int64_t next = 0;
    for (const auto& round : rounds) {
      ASSERT_EQ(round.micro_batches.size(), 3u);
      for (const auto& micro_batch : round.micro_batches) {
        ASSERT_EQ(micro_batch.size(), 2u);
        for (const auto& gpu_batch : micro_batch) {
          EXPECT_LE(gpu_batch.size(), 4u);
          for (const auto& sequence : gpu_batch) EXPECT_EQ(sequence.index, next++);
        }
      }
    }
    EXPECT_EQ(next, count);
  }
}

TEST(Rounds, PartFilledOnesAreSpreadEvenly) {
  const auto rounds = make_rounds(make_sequences(7), {.gpu_batch_size = 4, .gpu_batches = 1}, 3);
  for (const auto& micro_batch : rounds.front().micro_batches) {
    EXPECT_GE(micro_batch[0].size(), 2u);
    EXPECT_LE(micro_batch[0].size(), 3u);
  }
}

TEST(Rounds, RunToTheLongestOutput) {
  const auto rounds = make_rounds(make_sequences(3), {.gpu_batch_size = 4}, 1);
  EXPECT_EQ(rounds.front().token_steps(), 3);
  EXPECT_EQ(rounds.front().sequences(), 3);
}

// One behind the other, all of them, and none much longer than the others.
TEST(Rounds, PartsOfABatchShareItsTokens) {
  for (const std::int64_t count : {1, 2, 7, 24})
    for (const int parts : {1, 2, 3, 7, 30}) {
      const GpuBatch batch = make_sequences(count);
      std::int64_t total = 0, longest = 0;
      for (const auto& sequence : batch) {
        total += sequence.prompt_tokens;
        longest = std::max(longest, sequence.prompt_tokens);
      }
      std::size_t next = 0;
      for (int part = 0; part < parts; ++part) {
        const auto places = places_of_part(batch, part, parts);
        if (places.begin == places.end) continue;
        EXPECT_EQ(places.begin, next);
        std::int64_t tokens = 0;
        for (; next < places.end; ++next) tokens += batch[next].prompt_tokens;
        EXPECT_LE(tokens, total / parts + longest + 1);
      }
      EXPECT_EQ(next, batch.size());
    }
  EXPECT_EQ(places_of_part({}, 1, 3).end, 0U);
}

TEST(Rounds, RowsAtOnceAreThoseOfTheLargestPart) {
  std::vector<Sequence> sequences(6, {0, 10, 4});
  auto round = make_rounds(sequences, {.gpu_batch_size = 6}, 1).front();
  EXPECT_EQ(round.most_rows(), 60);
  EXPECT_EQ(round.most_rows(3), 20);
  EXPECT_EQ(round.most_rows(60), 10);
  round.waiting.push_back({6, 10, 4});  // may come on top of a batch of new tokens, or fill one
  EXPECT_EQ(round.most_rows(3), 60);
}

TEST(Rounds, WithRefillThoseThatTakeLongestBegin) {
  Policy policy{.gpu_batch_size = 2};
  policy.refill = true;
  const auto rounds =
      make_rounds({{0, 5, 3}, {1, 9, 7}, {2, 4, 3}, {3, 2, 9}, {4, 8, 7}, {5, 1, 1}}, policy, 1);
  ASSERT_EQ(rounds.size(), 1u);
  const auto indices = [](const std::vector<Sequence>& sequences) {
    std::vector<std::int64_t> result;
    for (const Sequence& sequence : sequences) result.push_back(sequence.index);
    return result;
  };
  EXPECT_EQ(indices(rounds[0].micro_batches[0][0]), (std::vector<std::int64_t>{3, 1}));
  EXPECT_EQ(indices(rounds[0].waiting), (std::vector<std::int64_t>{4, 0, 2, 5})) << "equals in input order";
}

}  // namespace
}  // namespace optpipe::memory
