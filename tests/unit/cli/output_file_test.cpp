#include "cli/output_file.hpp"

#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "optpipe/base/error.hpp"

namespace optpipe::cli {
namespace {

namespace fs = std::filesystem;

class OutputFileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    path_ = fs::temp_directory_path() / "optpipe-output-XXXXXX";
    const int descriptor = mkstemp(path_.data());
    ASSERT_GE(descriptor, 0);
    close(descriptor);
    std::ofstream(path_) << "old content";
  }
  void TearDown() override { fs::remove(path_); }

  std::string content() const {
    std::ifstream file(path_);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  std::string path_;
};

TEST_F(OutputFileTest, KeepsOldContentUntilItBegins) {
  OutputFile file("--output", path_);
  EXPECT_EQ(content(), "old content");
  file.begin();
  EXPECT_EQ(content(), "");
  file.write("new ");
  file.write("lines\n");
  EXPECT_EQ(content(), "new lines\n");  // there at once, not at the end
  file.finish();
}

TEST_F(OutputFileTest, RemovesOnlyWhatItMade) {
  { const OutputFile file("--output", path_); }
  EXPECT_EQ(content(), "old content");
  fs::remove(path_);
  {
    const OutputFile file("--output", path_);
    EXPECT_TRUE(fs::exists(path_));
  }
  EXPECT_FALSE(fs::exists(path_));
  {
    OutputFile file("--output", path_);
    file.begin();
  }
  EXPECT_TRUE(fs::exists(path_));
}

TEST_F(OutputFileTest, KnowsItself) {
  const OutputFile file("--output", path_);
  EXPECT_TRUE(file.is_same_file(path_));
  EXPECT_FALSE(file.is_same_file("/dev/null"));
  EXPECT_FALSE(file.is_same_file(path_ + "-missing"));
  EXPECT_FALSE(OutputFile("--output", "/dev/null").is_same_file("/dev/null"));  // many may write to a device
}

TEST_F(OutputFileTest, NamesWhatFailed) {
  try {
    OutputFile("--json", path_ + "/below");
    FAIL();
  } catch (const InputError& error) {
    EXPECT_THAT(error.what(),
                ::testing::StartsWith("--json " + path_ + "/below: the file cannot be written: "));
  }
  OutputFile full("--output", "/dev/full");
  full.begin();
  EXPECT_THROW(full.write("x"), SystemError);
}

}  // namespace
}  // namespace optpipe::cli
