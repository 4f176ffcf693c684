// What the files of a checkpoint may leave out or write in another way.
#include <gmock/gmock.h>

#include "unit/tokenizer/fixtures.hpp"

namespace optpipe::model::testing {
namespace {

using Ids = std::vector<Token>;

const std::string kText = "The capital city</s> it's";

TEST(TokenizerFiles, DefaultToOptWithoutAConfiguration) {
  Folder folder;
  const Tokenizer tokenizer(folder.path());
  for (const auto& one : read_json("encode.json"))
    EXPECT_EQ(tokenizer.encode(one.at("text").get<std::string>()), one.at("ids").get<Ids>());
}

TEST(TokenizerFiles, MergesNeedNoHeaderAndMayEndLinesInTwoWays) {
  const auto merges = read_file(fixture_folder() / "merges.txt");
  ASSERT_TRUE(merges.starts_with("#version"));
  const auto plain = merges.substr(merges.find('\n') + 1);
  std::string dos;
  for (const char c : plain) dos += c == '\n' ? std::string("\r\n") : std::string(1, c);
  for (const auto& content : {plain, dos, plain.substr(0, plain.size() - 1)}) {
    Folder folder;
    folder.write("merges.txt", content);
    EXPECT_EQ(Tokenizer(folder.path()).encode(kText), fixture().encode(kText));
  }
}

TEST(TokenizerFiles, NoMergesMeansBytes) {
  Folder folder;
  folder.write("merges.txt", "");
  EXPECT_EQ(Tokenizer(folder.path()).encode("The é").size(), 7u);
}

TEST(TokenizerFiles, OfTwoEqualMergesTheLaterCounts) {
  Folder folder;
  auto vocabulary = read_json("vocab.json");
  vocabulary["QX"] = 900;
  vocabulary["XZ"] = 901;
  folder.write("vocab.json", vocabulary.dump());
  folder.write("merges.txt", "X Z\nQ X\nX Z\n");
  const Token z = vocabulary["Z"];
  EXPECT_EQ(Tokenizer(folder.path()).encode("QXZ", false), (Ids{900, z}));
}

TEST(TokenizerFiles, VocabulariesMayHaveHolesAndTokensOutOfReach) {
  Folder folder;
  auto vocabulary = read_json("vocab.json");
  vocabulary["no merge leads here"] = 5000;
  vocabulary[""] = 5001;
  folder.write("vocab.json", vocabulary.dump());
  const Tokenizer tokenizer(folder.path());
  EXPECT_EQ(tokenizer.vocabulary(), 5002);
  EXPECT_EQ(tokenizer.encode(kText), fixture().encode(kText));
  EXPECT_EQ(tokenizer.decode(Ids{4, 3000, 5001, 5000}), "!no merge leads here");
}

TEST(TokenizerFiles, AVocabularyWithoutAByteSaysSoWhenTheByteComes) {
  Folder folder;
  auto vocabulary = read_json("vocab.json");
  vocabulary.erase("Q");
  folder.write("vocab.json", vocabulary.dump());
  const Tokenizer tokenizer(folder.path());
  EXPECT_EQ(tokenizer.encode(kText), fixture().encode(kText));
  EXPECT_THAT(input_error([&] { tokenizer.encode("A Q"); }), ::testing::HasSubstr("byte 0x51"));
}

TEST(TokenizerFiles, ConfigurationsThatSayNothingAddNothing) {
  Folder folder;
  folder.write("tokenizer_config.json", "{}");
  const Tokenizer tokenizer(folder.path());
  EXPECT_EQ(tokenizer.encode("!"), Ids{4});
  EXPECT_EQ(tokenizer.vocabulary(), 800);
  folder.write("tokenizer_config.json", R"({"bos_token": null, "add_bos_token": true})");
  EXPECT_EQ(Tokenizer(folder.path()).encode("!"), Ids{4});
}

TEST(TokenizerFiles, TokensThatTheVocabularyLacksComeAfterIt) {
  Folder folder;
  folder.write("tokenizer_config.json",
               R"({"bos_token": "<begin>", "add_bos_token": true, "pad_token": "<fill>"})");
  const Tokenizer tokenizer(folder.path());
  EXPECT_EQ(tokenizer.vocabulary(), 802);
  EXPECT_EQ(tokenizer.encode("!<fill>"), (Ids{800, 4, 801}));
  EXPECT_EQ(tokenizer.decode(Ids{800, 4, 801}), "!");
  EXPECT_EQ(tokenizer.decode(Ids{800, 4, 801}, false), "<begin>!<fill>");
}

TEST(TokenizerFiles, MayBeMoved) {
  Tokenizer first(fixture_folder());
  Tokenizer second = std::move(first);
  EXPECT_EQ(second.encode(kText), fixture().encode(kText));
  EXPECT_EQ(second.decode(second.encode("back and forth")), "back and forth");
}

}  // namespace
}  // namespace optpipe::model::testing
