// Checkpoints in several files: the index, and what missing files cost.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fixtures.hpp"

namespace optpipe::model {
namespace {

using testing::HasSubstr;

constexpr auto kIndex = "model.safetensors.index.json";
constexpr auto kFirst = "model-00001-of-00003.safetensors";

TEST(Shards, MissingFileMattersOnlyWhenAskedFor) {
  TemporaryFolder folder;
  folder.copy(fixture("safetensors-sharded") / kIndex, kIndex);
  folder.copy(fixture("safetensors-sharded") / kFirst, kFirst);
  const auto checkpoint = open_checkpoint(folder.path());
  const std::string here = "decoder.embed_tokens.weight", elsewhere = "decoder.embed_positions.weight";
  EXPECT_EQ(read_floats(*checkpoint, here).at(1), value_of(here, 1));
  EXPECT_THAT(input_error_of([&] { checkpoint->find(elsewhere); }),
              HasSubstr("model-00002-of-00003.safetensors"));
  folder.copy(fixture("safetensors-sharded/model-00002-of-00003.safetensors"),
              "model-00002-of-00003.safetensors");
  EXPECT_EQ(read_floats(*checkpoint, elsewhere).at(1), value_of(elsewhere, 1));  // it is looked for again
}

TEST(Shards, TensorThatOnlyTheIndexKnows) {
  TemporaryFolder folder;
  folder.write(kIndex, std::string(R"({"weight_map": {"model.decoder.x": ")") + kFirst + R"("}})");
  folder.copy(fixture("safetensors-sharded") / kFirst, kFirst);
  const auto checkpoint = open_checkpoint(folder.path());
  EXPECT_THAT(input_error_of([&] { checkpoint->find("decoder.x"); }), HasSubstr("although the index says"));
}

std::string index_error(const std::string& index) {
  TemporaryFolder folder;
  folder.write(kIndex, index);
  return input_error_of([&] { open_checkpoint(folder.path()); });
}

TEST(Shards, PathsCannotLeaveTheFolder) {
  for (const auto* path : {"../x", "/etc/passwd", "a/b", "..", ".", "", "a\\\\b", "a\\u0000b"})
    EXPECT_THAT(index_error(std::string(R"({"weight_map": {"decoder.x": ")") + path + R"("}})"),
                HasSubstr("paths in an index cannot leave the checkpoint's folder"))
        << path;
}

TEST(Shards, MalformedIndexesAreRefused) {
  for (const auto* index : {"", "[]", "{", "{}", R"({"weight_map": 1})", R"({"weight_map": {}})"})
    EXPECT_THAT(index_error(index), HasSubstr(kIndex)) << index;
  EXPECT_THAT(index_error(R"({"weight_map": {"x": 1}})"), HasSubstr("no file name"));
  EXPECT_THAT(index_error(R"({"weight_map": {"x": "a", "x": "b"}})"), HasSubstr("\"x\" twice"));
  EXPECT_THAT(index_error(R"({"weight_map": {"decoder.x": "a", "model.decoder.x": "b"}})"),
              HasSubstr("twice"));
}

}  // namespace
}  // namespace optpipe::model
