// One process: where things live and how prompts are grouped changes nothing in the output.
#include <utility>

#include "cli/program.hpp"

namespace optpipe::test {
namespace {

using nlohmann::json;

std::string golden_lines() {
  std::vector<json> lines;
  for (const auto& prompt : bundled_golden()["prompts"]) lines.push_back({{"prompt", prompt}});
  return to_lines(lines);
}

struct Setting {
  Words words;
};

void PrintTo(const Setting& setting, std::ostream* out) {
  const char* separator = "";
  for (const auto& word : setting.words) *out << std::exchange(separator, " ") << word;
}

class Placement : public ::testing::TestWithParam<Setting> {};

TEST_P(Placement, ChangesNothing) {
  const auto reference = run_optpipe(generate({"--input", "-"}), {.input = golden_lines()});
  const auto results = json_lines(reference.out);
  ASSERT_EQ(results.size(), bundled_golden()["tokens"].size());
  for (std::size_t i = 0; i < results.size(); ++i)
    EXPECT_EQ(results[i]["tokens"], bundled_golden()["tokens"][i]);
  const auto finished =
      run_optpipe(generate(Words{"--input", "-"} + GetParam().words), {.input = golden_lines()});
  EXPECT_EQ(finished.status, 0) << finished.err;
  EXPECT_EQ(finished.out, reference.out);
}

INSTANTIATE_TEST_SUITE_P(
    OneProcess, Placement,
    ::testing::Values(Setting{percent("0 0 0 0 0 0")}, Setting{percent("0 100 0 100 0 100")},
                      Setting{percent("50 25 50 25 50 25")},
                      Setting{percent("20 80 0 100 0 100") + Words{"--cpu-cache-compute"}},
                      Setting{percent("20 80 30 70 0 100") + Words{"--attention", "auto"}},
                      Setting{percent("0 100 0 100 100 0") + Words{"--attention", "split",
                                                                   "--attention-share", "0.4",
                                                                   "--num-gpu-batches", "2"}},
                      Setting{percent("0 0 0 0 0 0") + Words{"--overlap", "false"}},
                      Setting{{"--overlap=false"}}, Setting{{"--gpu-batch-size", "1"}},
                      Setting{{"--gpu-batch-size", "5", "--num-gpu-batches", "2"}},
                      Setting{{"--gpu-batch-size", "2", "--num-inner-iterations", "3"}},
                      Setting{{"--threads", "2"}}, Setting{{"--stage-layers", "8"}},
                      Setting{{"--num-gpu-batches", "65536", "--num-inner-iterations", "65536"}}));

}  // namespace
}  // namespace optpipe::test
