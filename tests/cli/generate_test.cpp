// The main job: text in, text out, equal to transformers'.
#include "cli/program.hpp"

namespace optpipe::test {
namespace {

using nlohmann::json;
using ::testing::StartsWith;

// The golden's prompts as input lines: "prompt" with texts, or "tokens" with ids.
std::vector<json> golden_lines(bool as_text) {
  std::vector<json> lines;
  const auto& golden = bundled_golden();
  for (std::size_t i = 0; i < golden["prompts"].size(); ++i) {
    json line{{"id", i * 10}};
    line[as_text ? "prompt" : "tokens"] = golden[as_text ? "prompts" : "prompt_tokens"][i];
    lines.push_back(line);
  }
  return lines;
}

void expect_golden(const std::vector<json>& results) {
  const auto& golden = bundled_golden();
  ASSERT_EQ(results.size(), golden["tokens"].size());
  for (std::size_t i = 0; i < results.size(); ++i) {
    const auto& tokens = golden["tokens"][i];
    EXPECT_EQ(results[i]["id"], i * 10);
    EXPECT_EQ(results[i]["tokens"], tokens) << golden["prompts"][i];
    EXPECT_EQ(results[i]["text"], golden["text"][i]) << golden["prompts"][i];
    EXPECT_EQ(results[i]["finish_reason"], tokens.back() == 2 ? "stop" : "length");
    EXPECT_EQ(results[i].size(), 4u);
  }
}

TEST(Generate, CapitalOfFrance) {
  const auto finished = run_optpipe(generate({"--prompt", "Paris is the capital city of"}));
  EXPECT_EQ(finished.status, 0) << finished.err;
  EXPECT_EQ(finished.out, bundled_golden()["text"][0].get<std::string>() + "\n");
  EXPECT_THAT(finished.out, StartsWith(" France"));
  EXPECT_THAT(finished.err, ::testing::HasSubstr("18 new tokens"));
}

TEST(Generate, SeveralPromptsPrintTheirTextsInOrder) {
  const auto& golden = bundled_golden();
  const Words repeated{"--prompt", golden["prompts"][0], "--prompt", golden["prompts"][2]};
  const Words listed{"--prompt", golden["prompts"][0], golden["prompts"][2]};
  const std::string expected =
      golden["text"][0].get<std::string>() + "\n" + golden["text"][2].get<std::string>() + "\n";
  EXPECT_EQ(run_optpipe(generate(repeated)).out, expected);
  EXPECT_EQ(run_optpipe(generate(listed)).out, expected);
}

TEST(Generate, TextsOfAFile) {
  const Folder folder;
  write_file(folder / "in.jsonl", to_lines(golden_lines(true)));
  const auto finished = run_optpipe(generate({"--input", folder / "in.jsonl"}));
  EXPECT_EQ(finished.status, 0) << finished.err;
  expect_golden(json_lines(finished.out));
}

TEST(Generate, TokensOfStandardInputToAFile) {
  const Folder folder;
  const auto finished = run_optpipe(generate({"--input", "-", "--output", folder / "out.jsonl"}),
                                    {.input = to_lines(golden_lines(false))});
  EXPECT_EQ(finished.status, 0) << finished.err;
  EXPECT_EQ(finished.out, "");
  expect_golden(json_lines(read_file(folder / "out.jsonl")));
}

class AnyNumber : public ::testing::TestWithParam<std::size_t> {};

// More prompts than the golden has come from repeating it; each has its own limit.
TEST_P(AnyNumber, OfPrompts) {
  const auto& golden = bundled_golden();
  std::vector<json> lines;
  for (std::size_t i = 0; i < GetParam(); ++i)
    lines.push_back({{"prompt", golden["prompts"][i % 18]}, {"max_new_tokens", 1 + i % 5}});
  const auto finished =
      run_optpipe(generate({"--input", "-", "--gpu-batch-size", "4"}), {.input = to_lines(lines)});
  EXPECT_EQ(finished.status, 0) << finished.err;
  const auto results = json_lines(finished.out);
  ASSERT_EQ(results.size(), GetParam());
  for (std::size_t i = 0; i < results.size(); ++i) {
    auto expected = golden["tokens"][i % 18].get<std::vector<int>>();
    expected.resize(std::min(expected.size(), 1 + i % 5));
    EXPECT_EQ(results[i]["id"], i);
    EXPECT_EQ(results[i]["tokens"], expected);
    EXPECT_EQ(results[i]["finish_reason"], expected.back() == 2 ? "stop" : "length");
  }
}
INSTANTIATE_TEST_SUITE_P(Generate, AnyNumber, ::testing::Values(1, 7, 33));

TEST(Generate, OneNewToken) {
  const auto finished =
      run_optpipe(generate({"--prompt", "Paris is the capital city of", "--max-new-tokens", "1"}));
  EXPECT_EQ(finished.out, " France\n");
}

TEST(Generate, IgnoreEosGoesOn) {
  const auto finished = run_optpipe(generate({"--input", "-", "--ignore-eos", "--max-new-tokens", "25"}),
                                    {.input = to_lines(golden_lines(true))});
  const auto results = json_lines(finished.out);
  ASSERT_EQ(results.size(), 18u);
  for (std::size_t i = 0; i < results.size(); ++i) {
    EXPECT_EQ(results[i]["tokens"].size(), 25u);
    EXPECT_EQ(results[i]["finish_reason"], "length");
    auto prefix = bundled_golden()["tokens"][i].get<std::vector<int>>();
    prefix.resize(std::min<std::size_t>(prefix.size(), 25));
    auto tokens = results[i]["tokens"].get<std::vector<int>>();
    tokens.resize(prefix.size());
    EXPECT_EQ(tokens, prefix);
  }
}

// The model has 1024 positions; the last new token is not fed back and takes none.
TEST(Generate, PromptsUpToTheLastPosition) {
  std::vector<json> lines;
  for (const std::size_t length : {1024, 1023, 1020})
    lines.push_back({{"tokens", std::vector<int>(length, 5)}});
  const auto finished = run_optpipe(generate({"--input", "-", "--ignore-eos"}), {.input = to_lines(lines)});
  EXPECT_EQ(finished.status, 0) << finished.err;
  const auto results = json_lines(finished.out);
  ASSERT_EQ(results.size(), 3u);
  EXPECT_EQ(results[0]["tokens"].size(), 1u);
  EXPECT_EQ(results[1]["tokens"].size(), 2u);
  EXPECT_EQ(results[2]["tokens"].size(), 5u);
  EXPECT_EQ(results[0]["finish_reason"], "length");
}

TEST(Generate, BracketsQuotesAndDashesArePartOfAPrompt) {
  const Words texts{"[The, capital]", "{}", "\"quoted\"", "-- dashes", "--prompt"};
  Words words;
  std::vector<json> lines;
  for (const auto& text : texts) {
    words.push_back("--prompt=" + text);
    lines.push_back({{"prompt", text}});
  }
  const auto as_words = run_optpipe(generate(words + Words{"--max-new-tokens", "4"}));
  const auto as_lines =
      run_optpipe(generate({"--input", "-", "--max-new-tokens", "4"}), {.input = to_lines(lines)});
  std::string expected;
  for (const auto& result : json_lines(as_lines.out)) expected += result["text"].get<std::string>() + "\n";
  EXPECT_EQ(as_words.out, expected);
  EXPECT_EQ(run_optpipe(generate({"--prompt", texts[0], "--max-new-tokens", "4"})).out,
            json_lines(as_lines.out)[0]["text"].get<std::string>() + "\n");
}

}  // namespace
}  // namespace optpipe::test
