// What comes in: ids, lines, models without a tokenizer.
#include "cli/program.hpp"

namespace optpipe::test {
namespace {

using nlohmann::json;

Finished generate_from(const std::string& lines, const Words& words = {}) {
  return run_optpipe(generate(Words{"--input", "-", "--max-new-tokens", "2"} + words), {.input = lines});
}

TEST(Input, IdsOfAnyTypeComeBackAsTheyWere) {
  const std::vector<json> ids{0,    -7,       18446744073709551615u,    1.5, "name", "ä\n\"", nullptr,
                              true, {1, {2}}, json{{"b", 1}, {"a", {}}}};
  std::vector<json> lines;
  for (const auto& id : ids) lines.push_back({{"id", id}, {"prompt", "x"}});
  const auto finished = generate_from(to_lines(lines));
  EXPECT_EQ(finished.status, 0) << finished.err;
  const auto results = json_lines(finished.out);
  ASSERT_EQ(results.size(), ids.size());
  for (std::size_t i = 0; i < ids.size(); ++i) EXPECT_EQ(results[i]["id"], ids[i]);
}

TEST(Input, MissingIdsAreThePosition) {
  const auto results = json_lines(generate_from("{\"prompt\":\"x\"}\n\n{\"prompt\":\"y\"}\n").out);
  ASSERT_EQ(results.size(), 2u);
  EXPECT_EQ(results[0]["id"], 0);
  EXPECT_EQ(results[1]["id"], 1);
}

TEST(Input, LinesEndInAnyWay) {
  const std::string expected = generate_from("{\"prompt\":\"x\"}\n").out;
  EXPECT_EQ(json_lines(expected).size(), 1u);
  EXPECT_EQ(generate_from("{\"prompt\":\"x\"}").out, expected);
  EXPECT_EQ(generate_from("\r\n \t\n{\"prompt\":\"x\"}\r\n\n").out, expected);
  EXPECT_EQ(generate_from("\xEF\xBB\xBF{\"prompt\":\"x\"}\n").out, expected);
}

TEST(Input, AHugeLimitMeansAllPositions) {
  const auto results =
      json_lines(generate_from(R"({"tokens":[2,1596],"max_new_tokens":18446744073709551615})").out);
  ASSERT_EQ(results.size(), 1u);
  EXPECT_EQ(results[0]["finish_reason"], "stop");
}

TEST(Input, AnyTextIsAPrompt) {
  const auto finished =
      generate_from(to_lines({{{"prompt", ""}}, {{"prompt", std::string("a\0b", 3)}}, {{"prompt", "</s>"}}}));
  EXPECT_EQ(finished.status, 0) << finished.err;
  EXPECT_EQ(json_lines(finished.out).size(), 3u);
}

TEST(Input, NoPromptsGiveNoResults) {
  const Folder folder;
  write_file(folder / "empty.jsonl", "\n");
  const auto finished = run_optpipe(generate({"--input", folder / "empty.jsonl", "--output",
                                              folder / "out.jsonl", "--json", folder / "report.json"}));
  EXPECT_EQ(finished.status, 0) << finished.err;
  EXPECT_EQ(finished.out, "");
  EXPECT_EQ(read_file(folder / "out.jsonl"), "");
  EXPECT_THAT(finished.err, ::testing::HasSubstr("no prompts"));
  const auto report = json::parse(read_file(folder / "report.json"));
  EXPECT_EQ(report["result"]["new_tokens"], 0);
  EXPECT_TRUE(report["result"]["total_token_s"].is_null());
}

// The fixtures have no tokenizer: tokens in, tokens out.
TEST(Input, ModelsWithoutATokenizerTakeTokens) {
  const auto model = std::filesystem::path(OPTPIPE_TEST_DATA) / "golden/fp32";
  const auto golden = json::parse(read_file(model / "golden.json"));
  std::vector<json> lines;
  for (std::size_t i = 0; i < golden["prompts"].size(); ++i)
    lines.push_back({{"tokens", golden["prompts"][i]}, {"max_new_tokens", golden["tokens"][i].size()}});
  const auto finished =
      run_optpipe({"generate", "--model", model, "--input", "-", "--ignore-eos"}, {.input = to_lines(lines)});
  EXPECT_EQ(finished.status, 0) << finished.err;
  const auto results = json_lines(finished.out);
  ASSERT_EQ(results.size(), lines.size());
  for (std::size_t i = 0; i < results.size(); ++i) {
    EXPECT_TRUE(results[i]["text"].is_null());
    EXPECT_EQ(results[i]["tokens"], golden["tokens"][i]);
  }
  expect_refused(run_optpipe({"generate", "--model", model, "--prompt", "x"}), 4,
                 {"--prompt 1", "tokenizer"});
  expect_refused(
      run_optpipe({"generate", "--model", model, "--input", "-", "--stop", "x"}, {.input = to_lines(lines)}),
      4, {"--stop", "tokenizer"});
}

// Dummy weights and the bundled tokenizer, which knows 4096 tokens of the 50272 that the model may produce.
TEST(Input, TokensThatTheTokenizerDoesNotKnowMeanNoText) {
  const Folder folder;
  auto config = json::parse(read_file(bundled_model() / "config.json"));
  config["vocab_size"] = 50272;
  write_file(folder / "config.json", config.dump());
  for (const auto* name : {"vocab.json", "merges.txt", "special_tokens_map.json", "tokenizer_config.json"})
    std::filesystem::copy_file(bundled_model() / name, folder / name);
  const auto finished = run_optpipe({"generate", "--model", folder.path(), "--path", "DUMMY", "--prompt", "x",
                                     "--output", folder / "out.jsonl", "--stop", "never", "--do-sample"});
  EXPECT_EQ(finished.status, 0) << finished.err;
  const auto results = json_lines(read_file(folder / "out.jsonl"));
  ASSERT_EQ(results.size(), 1u);
  const auto tokens = results[0]["tokens"].get<std::vector<int>>();
  EXPECT_THAT(tokens, ::testing::Contains(::testing::Ge(4096)));
  EXPECT_TRUE(results[0]["text"].is_string());
}

TEST(Input, DummyWeightsOfAKnownSize) {
  const auto finished = run_optpipe({"generate", "--model", "facebook/opt-125m", "--path", "_DUMMY_",
                                     "--input", "-", "--max-new-tokens", "2", "--ignore-eos"},
                                    {.input = R"({"tokens":[2,100,200]})"});
  EXPECT_EQ(finished.status, 0) << finished.err;
  const auto results = json_lines(finished.out);
  ASSERT_EQ(results.size(), 1u);
  EXPECT_EQ(results[0]["tokens"].size(), 2u);
}

}  // namespace
}  // namespace optpipe::test
