#include "optpipe/memory/disk_file.hpp"

#include <gmock/gmock.h>
#include <sys/mman.h>
#include <unistd.h>

#include <filesystem>
#include <random>
#include <thread>
#include <vector>

#include "optpipe/base/error.hpp"
#include "optpipe/memory/arena.hpp"

namespace optpipe::memory {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class DiskFiles : public ::testing::TestWithParam<DiskOptions> {};

std::vector<std::byte> random_bytes(std::size_t size, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<std::byte> data(size);
  for (auto& byte : data) byte = static_cast<std::byte>(random());
  return data;
}

TEST_P(DiskFiles, KeepWhatIsWrittenAndLeaveNothingBehind) {
  const fs::path directory = fs::path(testing::TempDir()) / ("optpipe-disk-file-" + std::to_string(getpid()));
  fs::remove_all(directory);
  {
    DiskFile file(directory, 1 << 20, GetParam());
    const Bytes a = file.take(1000), b = file.take(5);
    EXPECT_EQ(b % kDiskAlignment, 0u);
    const std::vector<std::byte> first(1000, std::byte{17}), second(5, std::byte{4});
    file.write(a, first);
    file.write(b, second);
    std::vector<std::byte> back(1000), cached(5);
    file.read(a, back);
    file.read_cached(b, cached);
    EXPECT_EQ(back, first);
    EXPECT_EQ(cached, second);
    EXPECT_EQ(file.bytes_written(), 1005u);
    EXPECT_EQ(file.bytes_read(), 1000u);
    EXPECT_TRUE(fs::is_empty(directory)) << "the file has a name";
  }
  EXPECT_TRUE(fs::is_empty(directory));
  fs::remove(directory);
}

// Ranges of all sizes and alignments, written and read in lists, beside a plain array.
TEST_P(DiskFiles, HoldWhatAnArrayWouldHold) {
  constexpr Bytes kSize = 4 << 20;
  DiskFile file(testing::TempDir(), kSize, GetParam());
  HostPages pages;
  Arena arena("test", 3 * kSize, pages);
  const auto oracle = arena.take(kSize), from = arena.take(kSize), to = arena.take(kSize);
  std::ranges::copy(random_bytes(kSize, 1), oracle.begin());
  file.write(0, oracle);
  std::mt19937 random(2);
  const auto draw = [&](Bytes most) { return static_cast<Bytes>(random()) % most; };
  for (int round = 0; round < 60; ++round) {
    std::vector<ConstDiskRange> writes;
    for (Bytes at = draw(9000); at < kSize;) {  // disjoint ranges, many of them sharing pages
      const Bytes size = std::min(kSize - at, 1 + (draw(4) == 0 ? draw(1 << 20) : draw(6000)));
      const Bytes shift = draw(2) == 0 ? at : draw(kSize - size + 1);  // congruent with the file, or not
      const auto memory = from.subspan(shift, size);
      if (writes.empty() || draw(3) != 0) {
        writes.push_back({at, memory});
      }
      at += size + draw(20000);
    }
    std::ranges::copy(random_bytes(kSize, 100 + static_cast<unsigned>(round)), from.begin());
    for (const auto& write : writes) std::ranges::copy(write.memory, oracle.subspan(write.offset).begin());
    file.write(writes);

    std::ranges::fill(to, std::byte{0xee});
    std::vector<DiskRange> reads;
    for (Bytes at = draw(9000); at < kSize;) {
      const Bytes size = std::min(kSize - at, 1 + draw(300000));
      reads.push_back({at, to.subspan(at, size)});
      at += size + draw(3000);
    }
    file.read(reads);
    Bytes end = 0;
    for (const auto& read : reads) {
      ASSERT_TRUE(std::ranges::equal(read.memory, oracle.subspan(read.offset, read.memory.size())))
          << "round " << round << ", " << read.memory.size() << " bytes at " << read.offset;
      for (const auto byte : to.subspan(end, read.offset - end))
        ASSERT_EQ(byte, std::byte{0xee}) << "bytes beside a range were written";
      end = read.offset + read.memory.size();
    }
  }
}

// Rows of two owners on the same pages, one owner writing while the other reads and writes.
TEST_P(DiskFiles, OwnersOfSharedPagesDoNotDisturbEachOther) {
  constexpr Bytes kRow = 1500, kRows = 400;
  DiskFile file(testing::TempDir(), 2 * kRow * kRows, GetParam());
  std::vector<std::byte> zeros(2 * kRow * kRows);
  file.write(0, zeros);
  const auto own_rows = [&](int owner) {
    const auto data = random_bytes(kRow * kRows, 7 + static_cast<unsigned>(owner));
    for (Bytes row = 0; row < kRows; ++row)
      file.write((2 * row + static_cast<Bytes>(owner)) * kRow, std::span(data).subspan(row * kRow, kRow));
    for (Bytes row = 0; row < kRows; ++row) {
      std::vector<std::byte> back(kRow);
      file.read((2 * row + static_cast<Bytes>(owner)) * kRow, back);
      EXPECT_TRUE(std::ranges::equal(back, std::span(data).subspan(row * kRow, kRow)))
          << "row " << row << " of owner " << owner;
    }
  };
  std::jthread other(own_rows, 1);
  own_rows(0);
}

INSTANTIATE_TEST_SUITE_P(Ways, DiskFiles,
                         ::testing::Values(DiskOptions{}, DiskOptions{.uring = false},
                                           DiskOptions{.direct = false},
                                           DiskOptions{.direct = false, .uring = false},
                                           DiskOptions{.checksums = true}),
                         [](const auto& way) {
                           const DiskOptions& o = way.param;
                           return std::string(o.direct ? "Direct" : "Cached") +
                                  (o.uring ? "Uring" : "Threads") + (o.checksums ? "Checked" : "");
                         });

void damage(const DiskFile& file, Bytes offset) {
  const std::byte wrong{0x5a};
  ASSERT_EQ(pwrite(file.descriptor(), &wrong, 1, static_cast<off_t>(offset)), 1);
}

TEST(DiskChecksums, FindWhatTheDiskHasChanged) {
  DiskFile file(testing::TempDir(), 1 << 20, {.checksums = true});
  const auto data = random_bytes(100000, 3);
  for (Bytes at = 0; at < data.size(); at += 1000)  // in rows, read as a whole
    file.write(at, std::span(data).subspan(at, 1000));
  std::vector<std::byte> back(data.size());
  file.read(0, back);
  EXPECT_EQ(back, data);
  damage(file, 54321);
  file.read(0, std::span(back).first(54000));
  try {
    file.read(0, back);
    FAIL() << "damage went unnoticed";
  } catch (const SystemError& error) {
    EXPECT_THAT(error.what(), HasSubstr("read at 54000 is not what was written"));
    EXPECT_THAT(error.what(), HasSubstr(testing::TempDir()));
    EXPECT_THAT(error.what(), HasSubstr("--offload-dir"));
  }
  file.write(50000, std::span(data).subspan(50000, 9000));  // overwritten: the damage is gone
  file.read(0, back);
  EXPECT_EQ(back, data);
}

TEST(DiskChecksums, AreNotKeptUnlessAskedFor) {
  DiskFile file(testing::TempDir(), 1 << 20);
  const std::vector<std::byte> data(5000, std::byte{1});
  file.write(0, data);
  damage(file, 4999);
  std::vector<std::byte> back(5000);
  file.read(0, back);
  EXPECT_EQ(back[4999], std::byte{0x5a});
}

TEST(DiskFile, SaysHowItReachesTheDisk) {
  EXPECT_THAT(DiskFile(testing::TempDir(), 1, {.direct = false, .uring = false}).describe(),
              HasSubstr("page cache, 8 threads"));
}

TEST(DiskFile, AFileThatWasCutShortIsAnError) {
  for (const bool uring : {true, false}) {
    DiskFile file(testing::TempDir(), 1 << 20, {.uring = uring});
    ASSERT_EQ(ftruncate(file.descriptor(), 8192), 0);
    std::vector<std::byte> back(1 << 20);
    try {
      file.read(0, back);
      FAIL() << "bytes came from nowhere";
    } catch (const SystemError& error) {
      EXPECT_THAT(error.what(), HasSubstr("cut short"));
      EXPECT_THAT(error.what(), HasSubstr(testing::TempDir()));
    }
    file.read(0, std::span(back).first(8192));  // the engine is whole after a failure
  }
}

TEST(DiskFile, MemoryThatIsNoMemoryIsAnError) {
  void* nothing = mmap(nullptr, 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(nothing, MAP_FAILED);
  for (const bool uring : {true, false}) {
    DiskFile file(testing::TempDir(), 1 << 20, {.uring = uring});
    EXPECT_THROW(file.read(0, {static_cast<std::byte*>(nothing), 8192}), SystemError);
  }
  munmap(nothing, 8192);
}

TEST(DiskFile, RefusesWhatTheDiskCannotHold) {
  EXPECT_THROW(DiskFile(testing::TempDir(), Bytes{1} << 52), CapacityError);
}

TEST(DiskFile, RefusesAFolderThatCannotBeMade) { EXPECT_THROW(DiskFile("/proc/nowhere", 1), InputError); }

}  // namespace
}  // namespace optpipe::memory
