#include "executor/stage/kv_store.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>

namespace optpipe::executor {
namespace {

class CountingCopier final : public Copier {
 public:
  void copy(void* to, const void* from, Bytes bytes) override {
    std::memcpy(to, from, bytes);
    ++copies, moved += bytes;
  }
  int copies = 0;
  Bytes moved = 0;
};

struct Loaded {
  int copies = 0;
  Bytes moved = 0, wanted = 0;
};

// Stores prompts of 100 + 7i tokens, half of whose heads stream, wipes the slot, and loads them again.
Loaded load_prompts(std::int64_t new_tokens) {
  constexpr std::int64_t kSequences = 4, kHeads = 12;
  memory::Round round;
  auto& batch = round.micro_batches.emplace_back().emplace_back();
  for (std::int64_t i = 0; i < kSequences; ++i) batch.push_back({i, 100 + 7 * i, new_tokens});
  const auto layout =
      memory::lay_out_kv(round, 1, kHeads, {StorageFormat::native, DType::f16, 64}, {0, 100}, 0.5);
  planner::KvPlan plan;
  plan.bytes = layout.bytes;
  plan.slots = 1;
  plan.slot_bytes = layout.slot_bytes;
  memory::DiskFile disk(std::filesystem::temp_directory_path(), 0);
  memory::HostPages pages(1);
  KvStore store(plan, disk, {pages, pages});
  store.begin(layout);
  BatchRows prompts, tokens;
  for (std::int32_t i = 0; i < kSequences; ++i) {
    const std::int64_t prompt = batch[static_cast<std::size_t>(i)].prompt_tokens;
    prompts.spans.push_back({.sequence = i, .first_row = prompts.rows, .count = prompt, .prompt = true});
    tokens.spans.push_back({.sequence = i, .first_row = tokens.rows++, .position = prompt, .count = 1});
    prompts.prompt_rows = prompts.rows += prompt;
  }
  const KvStore::Place place{&store.layout().blocks.front(), 0};
  const auto bytes_of = [](const KvStore::Segment& segment, std::int64_t positions) {
    return static_cast<std::size_t>(positions * segment.heads * 64 * 2);
  };
  const auto value_of = [](const KvStore::Segment& segment) {
    return 1 + 2 * segment.rows.sequence + 20 * (segment.first_head > 0);
  };
  CountingCopier out, in;
  for (const auto& segment : store.segments(place, prompts)) {
    std::memset(segment.keys, value_of(segment), bytes_of(segment, segment.rows.count));
    std::memset(segment.values, value_of(segment) + 1, bytes_of(segment, segment.rows.count));
  }
  store.store(place, prompts, -1, out);
  for (const auto& segment : store.segments(place, prompts))
    for (auto* array : {segment.keys, segment.values})
      std::memset(array, 0, bytes_of(segment, segment.positions));
  store.load(place, tokens, -1, in);
  Loaded loaded{in.copies, in.moved};
  for (const auto& segment : store.segments(place, tokens)) {
    const std::size_t bytes = bytes_of(segment, segment.rows.position);
    const std::vector<std::byte> keys(bytes, static_cast<std::byte>(value_of(segment))),
        values(bytes, static_cast<std::byte>(value_of(segment) + 1));
    EXPECT_EQ(std::memcmp(segment.keys, keys.data(), bytes), 0) << segment.rows.sequence;
    EXPECT_EQ(std::memcmp(segment.values, values.data(), bytes), 0) << segment.rows.sequence;
    loaded.wanted += 2 * bytes;
  }
  return loaded;
}

TEST(KvStore, WhatStreamsCrossesInOneCopy) {
  const Loaded loaded = load_prompts(16);
  EXPECT_EQ(loaded.copies, 1);
  EXPECT_LT(static_cast<double>(loaded.moved), 1.2 * static_cast<double>(loaded.wanted));
}

TEST(KvStore, MuchRoomForNewTokensDoesNotCross) {
  const Loaded loaded = load_prompts(500);
  EXPECT_EQ(loaded.copies, 8) << "keys and values of four sequences";
  EXPECT_EQ(loaded.moved, loaded.wanted);
}

}  // namespace
}  // namespace optpipe::executor
