// Which checkpoint is chosen, and what is said where there is none.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "fixtures.hpp"

namespace optpipe::model {
namespace {

using testing::HasSubstr;

TEST(Open, SafetensorsWin) {
  TemporaryFolder folder;
  folder.copy(fixture("torch/pytorch_model.bin"), "pytorch_model.bin");
  EXPECT_THAT(open_checkpoint(folder.path())->describe(), HasSubstr("torch"));
  folder.copy(fixture("safetensors/model.safetensors"), "model.safetensors");
  EXPECT_THAT(open_checkpoint(folder.path())->describe(), HasSubstr("safetensors"));
}

TEST(Open, EmptyFolderSaysWhatWasLookedFor) {
  TemporaryFolder folder;
  EXPECT_THAT(input_error_of([&] { open_checkpoint(folder.path()); }),
              AllOf(HasSubstr("model.safetensors"), HasSubstr("model.safetensors.index.json"),
                    HasSubstr("pytorch_model.bin"), HasSubstr("pytorch_model.bin.index.json"),
                    HasSubstr("*-np"), HasSubstr(folder.path().string())));
}

TEST(Open, ForeignWeightsAreNamed) {
  TemporaryFolder folder;
  folder.write("tf_model.h5", "");
  folder.write("flax_model.msgpack", "");
  EXPECT_THAT(input_error_of([&] { open_checkpoint(folder.path()); }),
              AllOf(HasSubstr("flax_model.msgpack, tf_model.h5"), HasSubstr("from_flax=True")));
}

TEST(Open, ShardsWithoutIndexAreNamed) {
  TemporaryFolder folder;
  folder.write("pytorch_model-00001-of-00002.bin", "");
  EXPECT_THAT(input_error_of([&] { open_checkpoint(folder.path()); }),
              AllOf(HasSubstr("pytorch_model-00001-of-00002.bin"), HasSubstr("no index")));
}

TEST(Open, SeveralNpyFoldersAreAmbiguous) {
  TemporaryFolder folder;
  for (const auto* name : {"a-np", "b-np"}) {
    std::filesystem::create_directory(folder.path() / name);
    folder.write(std::string(name) + "/decoder.x", "");
  }
  EXPECT_THAT(input_error_of([&] { open_checkpoint(folder.path()); }), HasSubstr("a-np, b-np"));
}

TEST(Open, FilesAndMissingFoldersAreRefused) {
  EXPECT_THAT(input_error_of([] { open_checkpoint(fixture("safetensors/model.safetensors")); }),
              HasSubstr("not a folder"));
  EXPECT_THAT(input_error_of([] { open_checkpoint(fixture("no-such-folder")); }), HasSubstr("not a folder"));
}

TEST(Open, OnlyRegularFilesAreRead) {
  TemporaryFolder folder;
  ASSERT_EQ(mkfifo((folder.path() / "model.safetensors").c_str(), 0600), 0);
  EXPECT_THAT(input_error_of([&] { open_checkpoint(folder.path()); }), HasSubstr("not a regular file"));
}

TEST(Open, DanglingLinksAreNamed) {
  TemporaryFolder folder;
  std::filesystem::create_symlink("nowhere", folder.path() / "model.safetensors");
  EXPECT_THAT(input_error_of([&] { open_checkpoint(folder.path()); }),
              HasSubstr("model.safetensors: No such file"));
}

TEST(Open, LinksOutOfTheFolderAreFollowed) {  // the Hub's cache is made of them
  TemporaryFolder folder;
  std::filesystem::create_symlink(fixture("safetensors/model.safetensors"),
                                  folder.path() / "model.safetensors");
  EXPECT_TRUE(open_checkpoint(folder.path())->find("decoder.embed_tokens.weight"));
}

TEST(Open, FileCutWhileInUseEndsEarly) {
  TemporaryFolder folder;
  folder.copy(fixture("safetensors/model.safetensors"), "model.safetensors");
  const auto checkpoint = open_checkpoint(folder.path());
  std::filesystem::resize_file(folder.path() / "model.safetensors", 100);
  EXPECT_THAT(input_error_of([&] { read_floats(*checkpoint, "decoder.embed_tokens.weight"); }),
              HasSubstr("ends early"));
}

TEST(Open, DummyPaths) {
  EXPECT_TRUE(is_dummy_path("_DUMMY_"));
  EXPECT_TRUE(is_dummy_path("DUMMY"));
  for (const auto* path : {"", "dummy", "_DUMMY", "DUMMY/", "./DUMMY"})
    EXPECT_FALSE(is_dummy_path(path)) << path;
}

}  // namespace
}  // namespace optpipe::model
