// Files that cannot be used: one clear error each, whatever is wrong with them.
#include <gmock/gmock.h>

#include <array>
#include <optional>

#include "unit/tokenizer/fixtures.hpp"

namespace optpipe::model::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

auto one_line_about(const std::string& file, const std::string& what) {
  return AllOf(HasSubstr(file), HasSubstr(what), Not(HasSubstr("\n")));
}

TEST(TokenizerMalformed, FilesMustBeThere) {
  for (const std::string file : {"vocab.json", "merges.txt"}) {
    Folder folder;
    std::filesystem::remove(folder.path() / file);
    EXPECT_THAT(refusal(folder), one_line_about(file, "cannot open"));
    std::filesystem::create_directory(folder.path() / file);
    EXPECT_THAT(refusal(folder), one_line_about(file, "cannot open"));
  }
}

TEST(TokenizerMalformed, Vocabularies) {
  const std::vector<std::pair<std::string, std::string>> cases{
      {"", "not valid JSON"},
      {"{", "not valid JSON"},
      {"{\"a\": 1} x", "not valid JSON"},
      {"{\"a\": 1,}", "not valid JSON"},
      {"{\"\xFF\": 1}", "not valid JSON"},
      {"{\"\\ud800\": 1}", "not valid JSON"},
      {"[]", "not a JSON object"},
      {"7", "not a JSON object"},
      {"{}", "lists no tokens"},
      {R"({"a": -1})", "the id of token \"a\""},
      {R"({"a": 1.5})", "the id of token \"a\""},
      {R"({"a": "1"})", "the id of token \"a\""},
      {R"({"a": null})", "the id of token \"a\""},
      {R"({"a": true})", "the id of token \"a\""},
      {R"({"a": [1]})", "the id of token \"a\""},
      {R"({"a": {"b": 1}})", "the id of token \"a\""},
      {R"({"a": 67108864})", "token \"a\" has id 67108864"},
      {R"({"a": 18446744073709551615})", "token \"a\" has id 18446744073709551615"},
      {R"({"a": 99999999999999999999})", "the id of token \"a\""},
      {R"({"a": 0, "b": 0})", "tokens \"a\" and \"b\" share id 0"},
      {R"({"a": 0, "a": 1})", "token \"a\" is listed twice"},
      {R"({"line\nend": -1})", "\"line\\nend\""},
  };
  for (const auto& [content, what] : cases) {
    Folder folder;
    folder.write("vocab.json", content);
    EXPECT_THAT(refusal(folder), one_line_about("vocab.json", what)) << content;
  }
}

TEST(TokenizerMalformed, DeeplyNestedJson) {
  for (const std::string file : {"vocab.json", "tokenizer_config.json"}) {
    Folder folder;
    folder.write(file, std::string(1'000'000, '['));
    EXPECT_THAT(refusal(folder), HasSubstr(file));
  }
}

TEST(TokenizerMalformed, Merges) {
  const std::vector<std::pair<std::string, std::string>> cases{
      {"#version: 0.2\nh e\nhe\n", "line 3: \"he\" is not two tokens"},
      {"h e\n\nh e\n", "line 2: \"\" is not two tokens"},
      {"h e \n", "line 1: \"h e \" is not two tokens"},
      {"h  e\n", "line 1: \"h  e\" is not two tokens"},
      {"h e\n h\n", "line 2: \"\" is not in vocab.json"},
      {"h e\nhe \n", "line 2: \"\" is not in vocab.json"},
      {"h e\nQ Q\n", "line 2: \"QQ\" is not in vocab.json"},
      {"h e\nt QQ\n", "line 2: \"QQ\" is not in vocab.json"},
      {"\xFF h\n", "line 1: "},
      {std::string("h e\n\0\0\n", 7), "line 2: "},
      {std::string(1'000'000, 'x'), "..."},
  };
  for (const auto& [content, what] : cases) {
    Folder folder;
    folder.write("merges.txt", content);
    EXPECT_THAT(refusal(folder), one_line_about("merges.txt", what)) << content.substr(0, 100);
    EXPECT_LT(refusal(folder).size(), 500u);
  }
}

TEST(TokenizerMalformed, Settings) {
  const std::vector<std::array<std::string, 3>> cases{
      {"tokenizer_config.json", "[1]", "not a JSON object"},
      {"tokenizer_config.json", "{", "not a JSON object"},
      {"tokenizer_config.json", R"({"add_bos_token": "yes"})", "\"add_bos_token\" should be true or false"},
      {"tokenizer_config.json", R"({"bos_token": 5})", "\"bos_token\" should be a string"},
      {"tokenizer_config.json", R"({"bos_token": ["x"]})", "\"bos_token\" should be a string"},
      {"tokenizer_config.json", R"({"bos_token": {"lstrip": true}})", "\"bos_token\" has no \"content\""},
      {"tokenizer_config.json", R"({"bos_token": {"content": 3}})", "\"bos_token\" should be a string"},
      {"tokenizer_config.json", R"({"bos_token": {"content": "x", "lstrip": 1}})",
       "\"lstrip\" of \"bos_token\""},
      {"tokenizer_config.json", R"({"extra_special_tokens": "x"})",
       "\"extra_special_tokens\" should be a list"},
      {"tokenizer_config.json", R"({"extra_special_tokens": [1]})",
       "\"extra_special_tokens\" should be a string"},
      {"tokenizer_config.json", R"({"added_tokens_decoder": []})",
       "\"added_tokens_decoder\" should be an object"},
      {"tokenizer_config.json", R"({"added_tokens_decoder": {"800": "x"}})",
       "\"800\" of \"added_tokens_decoder\""},
      {"tokenizer_config.json", R"({"added_tokens_decoder": {"x": {"content": "x"}}})", "\"x\" in "},
      {"tokenizer_config.json", R"({"added_tokens_decoder": {"-1": {"content": "x"}}})", "\"-1\" in "},
      {"tokenizer_config.json", R"({"added_tokens_decoder": {"99999999999": {"content": "x"}}})",
       "\"99999999999\""},
      {"tokenizer_config.json", R"({"added_tokens_decoder": {"5": {"content": "<x>"}}})",
       "vocab.json gives to \"\\\"\""},
      {"special_tokens_map.json", "3", "not a JSON object"},
      {"special_tokens_map.json", R"({"pad_token": false})", "\"pad_token\" should be a string"},
      {"added_tokens.json", "\"x\"", "not a JSON object"},
      {"added_tokens.json", R"({"<x>": "800"})", "the id of \"<x>\""},
      {"added_tokens.json", R"({"<x>": -800})", "the id of \"<x>\""},
      {"added_tokens.json", R"({"<x>": 67108864})", "the id of \"<x>\""},
      {"added_tokens.json", R"({"<x>": 4})", "token \"<x>\" has id 4, which vocab.json gives to \"!\""},
  };
  for (const auto& [file, content, what] : cases) {
    Folder folder;
    folder.write(file, content);
    EXPECT_THAT(refusal(folder), one_line_about(file, what)) << content;
  }
}

// Either an InputError or a tokenizer that works; anything else escapes and fails the test.
bool works(const Folder& folder) {
  const std::string text = "The quick é 12\u3000</s> it's";
  std::optional<Tokenizer> tokenizer;
  if (!input_error([&] { tokenizer.emplace(folder.path()); }).empty()) return false;
  EXPECT_EQ(tokenizer->decode(tokenizer->encode(text), false), "</s>" + text);
  return true;
}

// How many of all truncations of `file` work.
std::size_t working_truncations(const Folder& folder, const std::string& file) {
  const auto path = folder.path() / file;
  std::size_t working = 0;
  for (auto length = std::filesystem::file_size(path); length-- > 0;) {
    std::filesystem::resize_file(path, length);
    working += works(folder) ? 1 : 0;
  }
  return working;
}

TEST(TokenizerMalformed, EveryTruncationIsRefusedOrWorks) {
  EXPECT_EQ(working_truncations(Folder(), "vocab.json"), 0u);
  const auto size = std::filesystem::file_size(fixture_folder() / "merges.txt");
  const auto working = working_truncations(Folder(), "merges.txt");
  // Cut between lines, and where a shorter token is one too.
  EXPECT_GE(working, 500u);
  EXPECT_LT(working, size);
}

TEST(TokenizerMalformed, EveryTruncationOfTheSettingsIsRefusedOrWorks) {
  for (const std::string file : {"tokenizer_config.json", "special_tokens_map.json"}) {
    auto content = read_file(fixture_folder() / file);
    content.resize(content.find_last_of('}') + 1);
    Folder folder;
    folder.write(file, content);
    EXPECT_EQ(working_truncations(folder, file), 0u) << file;
  }
}

}  // namespace
}  // namespace optpipe::model::testing
