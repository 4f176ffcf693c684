// The bundled model completes facts; quantized, it still knows them.
#include <fstream>

#include "cli/program.hpp"

namespace optpipe::test {
namespace {

struct Fact {
  std::string prompt, completion;
};

// All of the bundled model's list, which `tools/tiny_opt/facts.py` and `countries.tsv` give.
std::vector<Fact> facts() {
  std::vector<Fact> result;
  std::ifstream file(bundled_model() / "facts.tsv");
  for (std::string line; std::getline(file, line);) {
    const auto tab = line.find('\t');
    result.push_back({line.substr(0, tab), line.substr(tab + 1)});
  }
  return result;
}

// How many facts come out right.
std::size_t count_right(const std::vector<Fact>& list, const Words& words) {
  const Folder folder;
  std::vector<nlohmann::json> lines;
  for (std::size_t i = 0; i < list.size(); ++i) lines.push_back({{"id", i}, {"prompt", list[i].prompt}});
  write_file(folder / "in.jsonl", to_lines(lines));
  const auto finished = run_optpipe(
      generate({"--input", folder / "in.jsonl", "--max-new-tokens", "16", "--gpu-batch-size", "64"}) + words);
  EXPECT_EQ(finished.status, 0) << finished.err;
  const auto results = json_lines(finished.out);
  EXPECT_EQ(results.size(), list.size());
  std::size_t right = 0;
  for (std::size_t i = 0; i < results.size(); ++i)
    right += results[i]["text"].get<std::string>().starts_with(" " + list[i].completion);
  return right;
}

TEST(Facts, AreRightInEveryFormat) {
  const auto list = facts();
  ASSERT_GE(list.size(), 300u);
  const struct {
    const char* name;
    Words words;
  } cases[] = {
      {"native", {}},
      {"8bit weights and KV", {"--weight-format", "8bit", "--kv-format", "8bit"}},
      {"X cache", Words{"--kv-format", "x"} + percent("30 40 30 40 50 50")},
      {"4bit weights", {"--compress-weight"}},
      {"4bit KV", {"--compress-cache"}},
      {"4bit weights and KV", Words{"--compress-weight", "--compress-cache"} + percent("30 40 30 40 50 50")},
  };
  for (const auto& [name, words] : cases) {
    const auto right = count_right(list, words);
    std::printf("%-20s %zu of %zu facts\n", name, right, list.size());
    EXPECT_GE(right * 100, list.size() * 95) << name;
  }
}

}  // namespace
}  // namespace optpipe::test
