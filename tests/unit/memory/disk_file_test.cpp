#include "optpipe/memory/disk_file.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <vector>

#include "optpipe/base/error.hpp"

namespace optpipe::memory {
namespace {

namespace fs = std::filesystem;

TEST(DiskFile, KeepsWhatIsWrittenAndLeavesNothingBehind) {
  const fs::path directory = fs::path(testing::TempDir()) / "optpipe-disk-file";
  fs::remove_all(directory);
  {
    DiskFile file(directory, 1 << 20);
    const Bytes a = file.take(1000), b = file.take(5);
    const std::vector<std::byte> first(1000, std::byte{17}), second(5, std::byte{4});
    file.write(a, first);
    file.write(b, second);
    std::vector<std::byte> back(1000);
    file.read(a, back);
    EXPECT_EQ(back, first);
    EXPECT_TRUE(fs::is_empty(directory)) << "the file has a name";
  }
  EXPECT_TRUE(fs::is_empty(directory));
}

TEST(DiskFile, RefusesWhatTheDiskCannotHold) {
  EXPECT_THROW(DiskFile(testing::TempDir(), Bytes{1} << 52), CapacityError);
}

TEST(DiskFile, RefusesAFolderThatCannotBeMade) { EXPECT_THROW(DiskFile("/proc/nowhere", 1), InputError); }

}  // namespace
}  // namespace optpipe::memory
