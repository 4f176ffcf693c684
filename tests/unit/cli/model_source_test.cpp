#include "cli/model_source.hpp"

#include <gtest/gtest.h>

#include <filesystem>

#include "optpipe/base/error.hpp"

namespace optpipe::cli {
namespace {

namespace fs = std::filesystem;

TEST(ModelSource, FindsFlexGensFolderOfASize) {
  const fs::path folder = fs::path(testing::TempDir()) / "opt_weights";
  fs::create_directories(folder / "opt-125m-np");
  EXPECT_EQ(read_config({.model = "facebook/opt-125m", .path = folder}).layers, 12);
  EXPECT_THROW(read_config({.model = "facebook/opt-1.3b", .path = folder}), InputError);
  fs::remove_all(folder);
}

TEST(ModelSource, NeedsAFolderOrDummyWeights) {
  EXPECT_THROW(read_config({.model = "facebook/opt-125m"}), InputError);
  EXPECT_EQ(read_config({.model = "facebook/opt-125m", .path = "_DUMMY_"}).hidden, 768);
}

}  // namespace
}  // namespace optpipe::cli
