#include "probe/memory_reader.hpp"

#include <gmock/gmock.h>

namespace optpipe::probe {
namespace {

TEST(MemoryReader, ReadsWithAnyNumberOfThreads) {
  SmallPages pages;
  for (const int threads : {1, 2, 3, 20})  // more threads than pieces, too
    EXPECT_GT(read_rate(pages, 8 * kMiB, threads, 0.01), 1e6) << threads;
}

}  // namespace
}  // namespace optpipe::probe
