#include "probe/memory_reader.hpp"

#include <gmock/gmock.h>

namespace optpipe::probe {
namespace {

TEST(MemoryReader, ReadsWithAnyNumberOfThreads) {
  SmallPages pages;
  for (const int threads : {1, 2, 3, 20})  // more threads than pieces, too
    EXPECT_GT(read_rate(pages, 8 * kMiB, threads, 0.01), 1e6) << threads;
}

TEST(MemoryReader, AttendsToEveryFormat) {
  SmallPages pages;
  for (const StorageFormat format : {StorageFormat::native, StorageFormat::q8, StorageFormat::q4})
    for (const int threads : {1, 2})
      EXPECT_GT(AttentionReader(pages, {.format = format}, 16 * kMiB).rate(threads, 0.01), 1e6)
          << name_of(format) << threads;
}

}  // namespace
}  // namespace optpipe::probe
