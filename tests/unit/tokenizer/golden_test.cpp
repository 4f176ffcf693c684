// Against what transformers makes of the same files and texts.
#include <gmock/gmock.h>

#include "unit/tokenizer/fixtures.hpp"

namespace optpipe::model::testing {
namespace {

using Ids = std::vector<Token>;

TEST(TokenizerGolden, EncodesAsTransformers) {
  const auto cases = read_json("encode.json");
  ASSERT_GE(cases.size(), 300u);
  for (const auto& one : cases) {
    const auto text = one.at("text").get<std::string>();
    const auto ids = one.at("ids").get<Ids>();
    EXPECT_EQ(fixture().encode(text), ids) << one.dump();
    EXPECT_EQ(fixture().encode(text, false), Ids(ids.begin() + 1, ids.end())) << one.dump();
    EXPECT_EQ(fixture().decode(ids), one.value("decoded", text)) << one.dump();
  }
}

TEST(TokenizerGolden, DecodesAsTransformers) {
  const auto cases = read_json("decode.json");
  ASSERT_GE(cases.size(), 300u);
  int replaced = 0;
  for (const auto& one : cases) {
    const auto ids = one.at("ids").get<Ids>();
    const auto text = one.at("text").get<std::string>();
    EXPECT_EQ(fixture().decode(ids, false), text) << one.dump();
    EXPECT_EQ(fixture().decode(ids, true), one.value("skipped", text)) << one.dump();
    replaced += text.find("\uFFFD") != std::string::npos ? 1 : 0;
  }
  EXPECT_GT(replaced, 150);
}

TEST(TokenizerGolden, TakesSettingsOfAddedTokensAsTransformers) {
  const auto variants = read_json("variants.json");
  ASSERT_GE(variants.size(), 10u);
  for (const auto& variant : variants) {
    SCOPED_TRACE(variant.at("name").get<std::string>());
    Folder folder;
    for (const auto& [name, content] : variant.at("files").items()) folder.write(name, content.dump());
    const Tokenizer tokenizer(folder.path());
    for (const auto& one : variant.at("cases")) {
      const auto ids = one.at("ids").get<Ids>();
      EXPECT_EQ(tokenizer.encode(one.at("text").get<std::string>()), ids) << one.dump();
      EXPECT_EQ(tokenizer.decode(ids, false), one.at("decoded").get<std::string>()) << one.dump();
      EXPECT_EQ(tokenizer.decode(ids), one.at("skipped").get<std::string>()) << one.dump();
    }
  }
}

TEST(TokenizerGolden, KnowsItsVocabulary) {
  EXPECT_EQ(fixture().vocabulary(), 800);
  EXPECT_EQ(fixture().encode(""), Ids{2});
  EXPECT_EQ(fixture().encode("", false), Ids{});
  EXPECT_EQ(fixture().decode(Ids{2, 1, 0}), "<s>");
  EXPECT_EQ(fixture().decode(Ids{2, 1, 0}, false), "</s><pad><s>");
  EXPECT_EQ(fixture().decode(Ids{}), "");
}

}  // namespace
}  // namespace optpipe::model::testing
