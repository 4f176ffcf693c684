#include "optpipe/memory/arena.hpp"

#include <gtest/gtest.h>

#include "optpipe/base/check.hpp"
#include "optpipe/base/error.hpp"

namespace optpipe::memory {
namespace {

TEST(Arena, HandsOutAlignedBlocksThatDoNotOverlap) {
  HostPages pages(2);
  Arena arena("test", 4096, pages);
  const auto a = arena.take(100), b = arena.take(1);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(a.data()) % kAlignment, 0u);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(b.data()) % kAlignment, 0u);
  EXPECT_EQ(b.data() - a.data(), 128);
  EXPECT_EQ(a.size(), 100u);
  arena.reset();
  EXPECT_EQ(arena.take(8).data(), a.data());
}

TEST(Arena, MoreThanPlannedIsABug) {
  HostPages pages;
  Arena arena("test", 4096, pages);
  arena.take(4000);
  EXPECT_THROW(arena.take(100), ContractViolation);
}

TEST(Arena, WhatCannotBeHadIsSaidWithItsSize) {
  try {
    HostPages pages;
    Arena arena("the moon", Bytes{1} << 60, pages);
    FAIL() << "an exbibyte was to be had";
  } catch (const CapacityError& error) {
    EXPECT_NE(std::string(error.what()).find("the moon"), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("1073741824.000 GiB"), std::string::npos) << error.what();
  }
}

TEST(Arena, EmptyOnesAreFree) {
  HostPages pages;
  EXPECT_EQ(Arena("nothing", 0, pages).take(0).size(), 0u);
}

}  // namespace
}  // namespace optpipe::memory
