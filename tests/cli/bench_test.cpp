// optpipe bench on one rank, with FlexGen's flags.
#include <filesystem>

#include "cli/program.hpp"

namespace optpipe::test {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

const Words kSmall{"--prompt-len", "16", "--gen-len", "4", "--no-log"};

TEST(Bench, PrintsTextsOfTheFirstAndTheLastPrompt) {
  const auto finished = run_optpipe(bench(kSmall));
  EXPECT_EQ(finished.status, 0) << finished.err;
  EXPECT_THAT(finished.out, HasSubstr("Outputs:\n"));
  EXPECT_THAT(finished.out, HasSubstr("0: Paris is the capital city of"));
  EXPECT_THAT(finished.out, HasSubstr("3: Paris is the capital city of"));
  EXPECT_THAT(run_optpipe(bench(kSmall + Words{"--path", "DUMMY"})).out, Not(HasSubstr("Outputs:")));
}

TEST(Bench, VerboseSaysHowMuchIsPrinted) {
  EXPECT_EQ(run_optpipe(bench(kSmall + Words{"--verbose", "0"})).out, "");
  const auto lines = run_optpipe(bench(kSmall + Words{"--verbose", "1"})).out;
  EXPECT_EQ(std::ranges::count(lines, '\n'), 5);
  EXPECT_THAT(lines, testing::StartsWith("model size: "));
}

TEST(Bench, SaysOnceWhichFlagsHaveNothingToDo) {
  const auto finished = run_optpipe(
      bench(kSmall + Words{"--head-ip", "127.0.0.1", "--port", "7777", "--use-mpi", "--pin-weight", "0"}));
  EXPECT_EQ(finished.status, 0) << finished.err;
  EXPECT_THAT(
      log_lines(finished.err),
      Contains(HasSubstr("accepted, with nothing to do here: --head-ip, --port, --use-mpi, --pin-weight")));
}

TEST(Bench, AgreesWithOneStageWithoutOffloading) {
  const auto finished =
      run_optpipe(bench(kSmall + Words{"--verify", "--num-gpu-batches", "3"} + percent("0 50 0 50 0 50")));
  EXPECT_EQ(finished.status, 0) << finished.err;
  EXPECT_THAT(finished.out,
              HasSubstr("verified: 16 tokens of 4 prompts in one stage without offloading, 0 of them"));
}

// What changes tokens by itself stays in the second placement.
TEST(Bench, AgreesWithOneStageOfTheSameFormats) {
  const auto finished =
      run_optpipe(bench(kSmall + Words{"--verify", "--compress-weight", "--compress-cache", "--cpu"} +
                        percent("0 50 0 100 0 50")));
  EXPECT_EQ(finished.status, 0) << finished.err;
  EXPECT_THAT(finished.out,
              HasSubstr("verified: 16 tokens of 4 prompts in one stage without offloading, 0 of them"));
}

TEST(Bench, SaysWhatTheXCacheTakes) {
  const Folder folder;
  const auto bytes = [&](const char* format) {
    const auto finished = run_optpipe(bench(
        kSmall +
        Words{"--verify", "--num-gpu-batches", "3", "--kv-format", format, "--json", folder / "report.json"} +
        percent("0 50 0 100 0 50")));
    EXPECT_EQ(finished.status, 0) << finished.err;
    EXPECT_THAT(finished.out, HasSubstr("in one stage without offloading, 0 of them"));
    EXPECT_THAT(finished.out, HasSubstr(std::string("kv format ") + format + ": "));
    const auto report = nlohmann::json::parse(read_file(folder / "report.json"));
    EXPECT_EQ(report["input"]["kv_format"], format);
    const auto& memory = report["ranks"][0]["memory"];
    return memory["plain"]["kv"].get<double>();
  };
  const double keys = bytes("native"), x = bytes("x");
  EXPECT_GT(x, 0.4 * keys);
  EXPECT_LT(x, 0.6 * keys);
}

TEST(Bench, RefusesWhatItCannotRun) {
  expect_refused(run_optpipe(bench({"--world-size", "4"})), 2, {"--world-size 4", "mpirun -n 4"});
  expect_refused(run_optpipe(bench({"--prompt-len", "5000"})), 2, {"--prompt-len 5000", "positions"});
  expect_refused(run_optpipe(bench({"--cut-gen-len", "40"})), 2, {"--cut-gen-len 40", "--gen-len 32"});
  expect_refused(run_optpipe(bench({"--log-file", "/nowhere/x.log", "--prompt-len", "8"})), 4,
                 {"--log-file", "--no-log"});
}

}  // namespace
}  // namespace optpipe::test
