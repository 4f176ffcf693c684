// What bench prints, logs and writes as JSON says the same.
#include <cmath>
#include <fstream>
#include <regex>
#include <sstream>

#include "cli/program.hpp"
#include "support/json_schema.hpp"

namespace optpipe::test {
namespace {

using nlohmann::json;

const json& schema() {
  static const json schema = json::parse(read_file(source_file("docs/report-schema.json")));
  return schema;
}

struct Benchmark {
  Finished finished;
  json report;
};

Benchmark run(const Words& words, const Folder& folder) {
  Benchmark benchmark{run_optpipe(bench(words + Words{"--json", folder / "report.json"}))};
  EXPECT_EQ(benchmark.finished.status, 0) << benchmark.finished.err;
  benchmark.report = json::parse(read_file(folder / "report.json"));
  EXPECT_EQ(schema_violations(schema(), benchmark.report), Words{});
  return benchmark;
}

void collect(const json& value, std::vector<double>& numbers) {
  if (value.is_number()) numbers.push_back(value.get<double>());
  if (value.is_structured())
    for (const auto& member : value) collect(member, numbers);
}

// Whether the text of a number stands for one of the report, in its own unit, GiB, MiB or percent.
bool is_in(const std::string& text, const std::vector<double>& numbers) {
  const auto point = text.find('.');
  const double half =
      point == std::string::npos ? 0.5 : 0.5 * std::pow(10.0, -static_cast<double>(text.size() - point - 1));
  return std::ranges::any_of(numbers, [&](double number) {
    return std::ranges::any_of(std::vector{1.0, 0x1p-30, 0x1p-20, 1e-6, 100.0}, [&](double unit) {
      return std::abs(number * unit - std::abs(std::stod(text))) <= half * 1.001 ||
             std::abs(-number * unit - std::abs(std::stod(text))) <= half * 1.001;
    });
  });
}

Words numbers_in(const std::string& text) {
  static const std::regex kNumber(R"((?:^|[\s+(-])(\d+(?:\.\d+)?)(?=[\s,;)%:-]|$))");
  Words found;
  for (std::sregex_iterator it(text.begin(), text.end(), kNumber), end; it != end; ++it)
    found.push_back((*it)[1]);
  return found;
}

TEST(BenchReport, HoldsEveryPrintedNumber) {
  const Folder folder;
  const auto benchmark = run(
      Words{"--prompt-len", "24", "--gen-len", "9", "--cut-gen-len", "6", "--validate-projection", "--verify",
            "--no-log", "--path", "DUMMY", "--num-gpu-batches", "2", "--debug-mode", "breakdown"} +
          percent("50 30 40 30 0 100"),
      folder);
  std::vector<double> numbers;
  collect(benchmark.report, numbers);
  for (std::size_t rank = 0; rank < benchmark.report["ranks"].size(); ++rank) numbers.push_back(0);
  const auto printed = numbers_in(benchmark.finished.out);
  EXPECT_GT(printed.size(), 50u) << benchmark.finished.out;
  for (const auto& text : printed)
    EXPECT_TRUE(is_in(text, numbers)) << text << " in\n" << benchmark.finished.out;
  EXPECT_EQ(benchmark.report["validation"]["decode_s"].is_number(), true);
  EXPECT_EQ(benchmark.report["verification"]["differences"], 0);
}

// One run at full length serves all cuts.
TEST(BenchReport, ValidatesCutsOfARunThatWasNotCut) {
  const Folder folder;
  const auto [finished, report] =
      run({"--prompt-len", "8", "--gen-len", "9", "--validate-projection", "--no-log"}, folder);
  const auto& validation = report["validation"];
  EXPECT_TRUE(validation["error"].is_null());
  double sum = 0;
  for (const double seconds : report["decode_step_s"]) sum += seconds;
  EXPECT_NEAR(validation["decode_s"], sum, 1e-9);
  std::vector<int> cuts;
  for (const auto& each : validation["prefixes"]) cuts.push_back(each["cut_gen_len"]);
  EXPECT_EQ(cuts, (std::vector{2, 4, 8}));
  EXPECT_THAT(finished.out, testing::HasSubstr("projection checked: "));
  EXPECT_EQ(finished.err.find("full length"), std::string::npos) << "no second run";
}

// A description that `optpipe probe --json` could have written gives the floors.
TEST(BenchReport, FloorsComeFromTheMachineThatIsNamed) {
  const Folder folder;
  json machine = json::parse(read_file(source_file("docs/machines/h100.json")));
  machine["name"] = "a node of this test";
  machine["device"]["is_gpu"] = false;
  machine["device"]["embedding_values_s"] = 0.44e9;  // of CPU ranks alone
  std::ofstream(folder / "machine.json") << machine;
  const Words words = Words{"--prompt-len", "8", "--gen-len", "3", "--no-log"} + percent("50 50 0 100 100 0");
  const auto [finished, report] = run(words + Words{"--machine", folder / "machine.json"}, folder);
  EXPECT_EQ(report["machine"], "a node of this test");
  const auto& decode = report["ranks"][0]["resources"]["decode"];
  EXPECT_GT(decode["compute"]["floor_s"], 0);
  // What was loaded, at this machine's rate of copies.
  const auto floor_s = decode["load"]["floor_s"].get<double>();
  EXPECT_GT(floor_s, 0);
  for (auto& rate : machine["device"]["products"]) rate["flops_s"] = rate["flops_s"].get<double>() / 2;
  std::ofstream(folder / "slower.json") << machine;
  const auto slower = run(words + Words{"--machine", folder / "slower.json"}, folder).report;
  EXPECT_GT(slower["ranks"][0]["resources"]["decode"]["compute"]["floor_s"], decode["compute"]["floor_s"]);
  EXPECT_TRUE(run(words, folder).report["ranks"][0]["resources"]["decode"]["load"]["floor_s"].is_null());
}

TEST(BenchReport, SplitsAddUp) {
  const Folder folder;
  const auto report = run({"--prompt-len", "16", "--gen-len", "5", "--no-log"}, folder).report;
  const auto& split = report["ranks"][0]["split"];
  for (const char* phase : {"prefill", "decode"}) {
    double sum = 0;
    for (const auto& [name, seconds] : split[phase].items())
      if (name != "total") sum += seconds.get<double>();
    EXPECT_NEAR(sum, split[phase]["total"], 1e-9);
  }
  EXPECT_NEAR(split["prefill"]["total"], report["result"]["prefill_s"], 0.02);
  EXPECT_EQ(report["result"]["projected"], false);
  EXPECT_EQ(report["decode_step_s"].size(), 4u);
  EXPECT_EQ(report["result"]["new_tokens"], 4 * 5);
}

TEST(BenchReport, CutAtOneIsNotMeasuredAndNeverNan) {
  const Folder folder;
  const auto [finished, report] =
      run({"--prompt-len", "8", "--gen-len", "4", "--cut-gen-len", "1", "--no-log"}, folder);
  EXPECT_THAT(finished.out,
              testing::HasSubstr("decode latency: not measured\tdecode throughput: not measured"));
  EXPECT_THAT(finished.out, testing::Not(testing::HasSubstr("nan")));
  EXPECT_TRUE(report["result"]["decode_s"].is_null());
  EXPECT_TRUE(report["result"]["total_token_s"].is_null());
  EXPECT_TRUE(report["projection"].is_null());
  EXPECT_EQ(report["result"]["projected"], true);
}

// As FlexGen's scripts read a log: the third, fourth and fifth line, two columns each.
TEST(BenchReport, LogIsReadAsFlexGenReadsIt) {
  const Folder folder;
  const std::string log = folder / "bench.log";
  const Words words{"--prompt-len", "16", "--gen-len", "4", "--cut-gen-len", "3", "--log-file", log};
  const auto report = run(words, folder).report;
  run(words, folder);  // appends
  std::istringstream in(read_file(log));
  Words lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  ASSERT_EQ(lines.size(), 10u);
  const auto read = [&](std::size_t line, const char* seconds, const char* rate) {
    const std::string& text = lines[line];
    const auto tab = text.find('\t');
    const auto number = [](const std::string& part, const char* unit) {
      return std::stod(part.substr(part.find(':') + 1, part.find(unit) - part.find(':') - 1));
    };
    EXPECT_NEAR(number(text.substr(0, tab), " s"), report["result"][seconds], 1e-3) << text;
    EXPECT_NEAR(number(text.substr(tab + 1), " to"), report["result"][rate], 1e-3) << text;
  };
  read(2, "prefill_s", "prefill_token_s");
  read(3, "decode_s", "decode_token_s");
  read(4, "total_s", "total_token_s");
}

}  // namespace
}  // namespace optpipe::test
