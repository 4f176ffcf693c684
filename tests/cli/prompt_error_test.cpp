// Bad prompts: with --strict status 4 and one line with the number of the bad line; without, an entry in the
// output.
#include "cli/program.hpp"

namespace optpipe::test {
namespace {

struct Bad {
  const char* name;
  std::string line;
  Words parts;  // of the message
};

void PrintTo(const Bad& bad, std::ostream* out) { *out << bad.name; }

class BadLine : public ::testing::TestWithParam<Bad> {};

TEST_P(BadLine, IsRefusedByNumber) {
  const Folder folder;
  write_file(folder / "in.jsonl", "{\"prompt\":\"x\"}\n\n" + GetParam().line + "\n{\"prompt\":\"y\"}\n");
  expect_refused(run_optpipe(generate({"--strict", "--input", folder / "in.jsonl"})), 4,
                 Words{folder / "in.jsonl" + ":3: "} + GetParam().parts);
}

TEST_P(BadLine, BecomesAnEntry) {
  const Folder folder;
  write_file(folder / "in.jsonl", "{\"prompt\":\"x\"}\n\n" + GetParam().line + "\n{\"prompt\":\"y\"}\n");
  const auto finished = run_optpipe(generate({"--input", folder / "in.jsonl", "--max-new-tokens", "1"}));
  EXPECT_EQ(finished.status, 0) << finished.err;
  EXPECT_THAT(finished.err, ::testing::HasSubstr("1 of 3 prompts are bad"));
  const auto lines = json_lines(finished.out);
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines[0]["tokens"].size(), 1u);
  EXPECT_EQ(lines[2]["tokens"].size(), 1u);
  EXPECT_EQ(lines[1].size(), 2u) << lines[1];
  EXPECT_EQ(lines[1]["id"], 1);  // the position, or the same as the line's id
  for (const auto& part : Words{":3: "} + GetParam().parts)
    EXPECT_THAT(lines[1]["error"].get<std::string>(), ::testing::HasSubstr(part));
}

TEST(BadLines, KeepTheirIds) {
  const auto finished =
      run_optpipe(generate({"--input", "-", "--max-new-tokens", "1"}),
                  {.input = "{\"id\": \"a\", \"prompt\": 5}\n{\"id\": \"b\", \"prompt\": \"x\"}\n"});
  const auto lines = json_lines(finished.out);
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0]["id"], "a");
  EXPECT_EQ(lines[1]["id"], "b");
}

std::string long_text() {
  std::string text;
  for (int i = 0; i < 2000; ++i) text += "word ";
  return text;
}

std::string tokens(std::size_t count) {
  return nlohmann::json{{"tokens", std::vector<int>(count, 5)}}.dump();
}

INSTANTIATE_TEST_SUITE_P(
    Json, BadLine,
    ::testing::Values(Bad{"Text", "hello", {"not JSON", "at byte 1"}},
                      Bad{"Truncated", R"({"prompt": "x)", {"not JSON"}},
                      Bad{"TwoValues", R"({"prompt":"x"} {"prompt":"y"})", {"not JSON"}},
                      Bad{"List", R"(["x"])", {"not a JSON object"}},
                      Bad{"String", R"("x")", {"not a JSON object"}},
                      Bad{"InvalidUtf8", "{\"prompt\": \"\xC3\x28\"}", {"not UTF-8", "at byte"}},
                      Bad{"LoneSurrogate", R"({"prompt": "\ud800"})", {"not JSON"}},
                      Bad{"HugeNumber", R"({"prompt": "x", "temperature": 1e999})", {"too large"}},
                      Bad{"DeepNesting", std::string(100000, '['), {"not JSON"}}));

INSTANTIATE_TEST_SUITE_P(
    Members, BadLine,
    ::testing::Values(
        Bad{"Neither", R"({"id": 1})", {"neither \"prompt\" nor \"tokens\""}},
        Bad{"Both", R"({"prompt": "x", "tokens": [2]})", {"both \"prompt\" and \"tokens\""}},
        Bad{"PromptNumber", R"({"prompt": 5})", {"\"prompt\" should be a string"}},
        Bad{"PromptNull", R"({"prompt": null})", {"\"prompt\" should be a string"}},
        Bad{"TokensString", R"({"tokens": "2 3"})", {"\"tokens\" should be a list"}},
        Bad{"NoTokens", R"({"tokens": []})", {"\"tokens\"", "at least one"}},
        Bad{"NegativeToken", R"({"tokens": [2, -1]})", {"token ids"}},
        Bad{"FloatToken", R"({"tokens": [2.0]})", {"token ids"}},
        Bad{"BoolToken", R"({"tokens": [true]})", {"token ids"}},
        Bad{"HugeToken", R"({"tokens": [2147483648]})", {"token ids"}},
        Bad{"HugerToken", R"({"tokens": [18446744073709551615]})", {"token ids"}},
        Bad{"HugestToken", R"({"tokens": [1e300]})", {"token ids"}},
        Bad{"UnknownToken", R"({"tokens": [2, 4096]})", {"token 4096", "vocabulary of 4096"}},
        Bad{"ZeroLimit", R"({"prompt": "x", "max_new_tokens": 0})", {"\"max_new_tokens\""}},
        Bad{"NegativeLimit", R"({"prompt": "x", "max_new_tokens": -1})", {"\"max_new_tokens\""}},
        Bad{"FloatLimit", R"({"prompt": "x", "max_new_tokens": 1.5})", {"\"max_new_tokens\""}},
        Bad{"TextLimit", R"({"prompt": "x", "max_new_tokens": "5"})", {"\"max_new_tokens\""}},
        Bad{"LongText", nlohmann::json{{"prompt", long_text()}}.dump(), {"1024 positions", "shorten"}},
        Bad{"LongTokens", tokens(1025), {"1025 tokens", "1024 positions"}}));

TEST(Prompts, TheirFileIsMissing) {
  expect_refused(run_optpipe(generate({"--input", "/no/such/file.jsonl"})), 4,
                 {"--input /no/such/file.jsonl", "No such file"});
}

TEST(Prompts, TheirFileIsAFolder) {
  const Folder folder;
  expect_refused(run_optpipe(generate({"--input", folder.path().string()})), 4, {"this is a folder"});
}

TEST(Prompts, TheirFileIsSomethingElse) {
  expect_refused(run_optpipe(generate({"--input", bundled_model() / "model.safetensors"})), 4,
                 {"model.safetensors:1: ", "not"});
}

TEST(Prompts, ALineWithoutAnEnd) {
  expect_refused(run_optpipe(generate({"--input", "/dev/zero"})), 4, {"/dev/zero:1: ", "longer than 64 MiB"});
}

TEST(Prompts, StandardInputIsNamed) {
  expect_refused(run_optpipe(generate({"--input", "-"}), {.input = "x\n"}), 4, {"standard input:1: "});
}

TEST(Prompts, OfTheCommandLineAreNumbered) {
  expect_refused(run_optpipe(generate({"--prompt", "x", "--prompt", "\xFF"})), 4, {"--prompt 2: ", "UTF-8"});
  expect_refused(run_optpipe(generate({"--prompt", long_text()})), 4, {"--prompt 1: ", "1024 positions"});
}

}  // namespace
}  // namespace optpipe::test
