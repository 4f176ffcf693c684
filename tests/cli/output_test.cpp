// What goes out, and what stays untouched where a run is refused.
#include "cli/program.hpp"

namespace optpipe::test {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

// The program under a shell that gives it these streams.
Finished run_with_streams(const std::string& streams, const Words& words) {
  return run_process(Words{"bash", "-c", "\"$@\" " + streams, "bash", program()} + words, "",
                     {"OMP_NUM_THREADS=1", "CUDA_VISIBLE_DEVICES="});
}

TEST(Output, OverwritesTheWholeFile) {
  const Folder folder;
  const std::string path = folder / "out.jsonl", report = folder / "report.json";
  write_file(path, std::string(100000, 'x'));
  write_file(report, std::string(100000, 'x'));
  const auto finished = run_optpipe(
      generate({"--prompt", "Madrid", "--output", path, "--json", report, "--max-new-tokens", "2"}));
  EXPECT_EQ(finished.status, 0) << finished.err;
  EXPECT_EQ(finished.out, "");
  EXPECT_EQ(json_lines(read_file(path)).size(), 1u);
  EXPECT_TRUE(nlohmann::json::accept(read_file(report)));
}

TEST(Output, ARefusedRunDestroysNothing) {
  const Folder folder;
  const std::string path = folder / "out.jsonl", report = folder / "report.json";
  write_file(path, "old results");
  write_file(report, "old report");
  const Words outputs{"--output", path, "--json", report};
  const std::vector<Words> refused{
      {"--input", folder / "missing.jsonl"},
      {"--prompt", "\xFF"},
      {"--prompt", "x", "--stage-layers", "3"},
      {"--prompt", "x", "--stop", ""},
      {"--prompt", "x", "--path", folder / "nowhere"},
      Words{"--prompt", "x", "--offload-dir", "/dev/null/x"} + percent("0 0 0 0 0 0")};
  for (const auto& words : refused) {
    EXPECT_NE(run_optpipe(generate(words + outputs)).status, 0);
    EXPECT_EQ(read_file(path), "old results");
    EXPECT_EQ(read_file(report), "old report");
  }
}

TEST(Output, ARefusedRunLeavesNoNewFiles) {
  const Folder folder;
  const auto finished = run_optpipe(
      generate({"--prompt", "\xFF", "--output", folder / "out.jsonl", "--json", folder / "report.json"}));
  expect_refused(finished, 4, {"UTF-8"});
  EXPECT_TRUE(fs::is_empty(folder.path()));
}

TEST(Output, PathsAreCheckedBeforeAnyWork) {
  const Folder folder;
  for (const std::string flag : {"--output", "--json", "--trace"}) {
    for (const std::string& path : {folder / "no/such/folder", folder.path().string()}) {
      const auto finished = run_optpipe(generate({"--prompt", "x", flag, path}));
      expect_refused(finished, 4, {flag, path, "cannot be written"});
    }
  }
  EXPECT_TRUE(fs::is_empty(folder.path()));
}

TEST(Output, NeverOverwritesItsInput) {
  const Folder folder;
  const std::string path = folder / "prompts.jsonl", line = "{\"prompt\":\"x\"}\n";
  write_file(path, line);
  fs::create_symlink(path, folder / "link.jsonl");
  expect_refused(run_optpipe(generate({"--input", path, "--output", folder / "link.jsonl"})), 2,
                 {"input file"});
  EXPECT_EQ(read_file(path), line);
  expect_refused(run_optpipe(generate({"--prompt", "x", "--output", path, "--json", path})), 2, {"both"});
  expect_refused(run_optpipe(generate({"--prompt", "x", "--trace", path, "--json", path})), 2, {"both"});
  EXPECT_EQ(read_file(path), line);
}

TEST(Output, DevicesAreFiles) {
  EXPECT_EQ(run_optpipe(generate({"--prompt", "x", "--output", "/dev/null", "--json", "/dev/null"})).status,
            0);
  const auto finished =
      run_optpipe(generate({"--prompt", "x", "--max-new-tokens", "1", "--output", "/dev/stdout"}));
  EXPECT_EQ(finished.status, 0) << finished.err;
  EXPECT_EQ(json_lines(finished.out).size(), 1u);
}

TEST(Output, QuietLogsNothing) {
  const auto finished = run_optpipe(Words{"--quiet"} + generate({"--prompt", "x", "--max-new-tokens", "1"}));
  EXPECT_EQ(finished.err, "");
  EXPECT_NE(finished.out, "");
}

TEST(Output, AFullDiskIsOneError) {
  for (const Words& words : {generate({"--prompt", "x"}), Words{"--version"}, Words{"--help"}}) {
    const auto finished = run_with_streams("> /dev/full", words);
    EXPECT_EQ(finished.status, 1);
    ASSERT_EQ(error_lines(finished.err).size(), 1u) << finished.err;
    EXPECT_THAT(finished.err, HasSubstr("No space left on device"));
  }
  const auto finished = run_optpipe(generate({"--prompt", "x", "--json", "/dev/full"}));
  EXPECT_EQ(finished.status, 1);
  ASSERT_EQ(error_lines(finished.err).size(), 1u) << finished.err;
  EXPECT_THAT(finished.err, HasSubstr("--json /dev/full"));
}

// With standard output closed, the next file that is opened must not become it: with dummy weights, the
// report.
TEST(Output, AClosedStandardOutputIsOneError) {
  const Folder folder;
  const Words words = generate({"--path", "DUMMY", "--prompt", "x", "--json", folder / "report.json"});
  const auto finished = run_with_streams(">&-", words);
  EXPECT_EQ(finished.status, 1);
  EXPECT_EQ(error_lines(finished.err).size(), 1u) << finished.err;
  EXPECT_EQ(read_file(folder / "report.json"), "");
  EXPECT_EQ(run_with_streams("2>&-", words).status, 0);
  EXPECT_TRUE(nlohmann::json::accept(read_file(folder / "report.json")));
}

}  // namespace
}  // namespace optpipe::test
