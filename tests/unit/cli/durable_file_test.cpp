#include "cli/durable_file.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "optpipe/base/error.hpp"

namespace optpipe::cli {
namespace {

namespace fs = std::filesystem;

class WholeFileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / "optpipe-whole-XXXXXX";
    ASSERT_NE(mkdtemp(folder_.data()), nullptr);
    path_ = folder_ + "/out.jsonl";
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string content() const {
    std::ifstream file(path_);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  void commit(const std::string& text) const {
    WholeFile file("--output", path_);
    file.write(text);
    file.commit();
  }
  auto files() const { return std::distance(fs::directory_iterator(folder_), {}); }

  std::string folder_, path_;
};

TEST_F(WholeFileTest, AppearsAtOnce) {
  WholeFile file("--output", path_);
  file.write("one\n");
  EXPECT_FALSE(fs::exists(path_));
  file.write("two\n");
  file.commit();
  EXPECT_EQ(content(), "one\ntwo\n");
  EXPECT_EQ(files(), 1);
}

TEST_F(WholeFileTest, WithoutCommitNothingHasHappened) {
  std::ofstream(path_) << "old";
  {
    WholeFile file("--output", path_);
    file.write("new");
  }
  EXPECT_EQ(content(), "old");
  EXPECT_EQ(files(), 1);
}

TEST_F(WholeFileTest, KeepsModeAndFollowsLinks) {
  const std::string real = folder_ + "/real";
  std::ofstream(real) << "old";
  ASSERT_EQ(chmod(real.c_str(), 0600), 0);
  fs::create_symlink(real, path_);
  commit("new");
  EXPECT_TRUE(fs::is_symlink(path_));
  EXPECT_EQ(content(), "new");
  EXPECT_EQ(fs::status(real).permissions(), fs::perms::owner_read | fs::perms::owner_write);
}

TEST_F(WholeFileTest, SaysWhatCannotBeWritten) {
  path_ = folder_ + "/missing/out";
  EXPECT_THROW(commit("x"), SystemError);
}

}  // namespace
}  // namespace optpipe::cli
