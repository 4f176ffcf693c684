#include "optpipe/memory/round.hpp"

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace optpipe::memory
