// --bind: what it says, and what a container that refuses it makes of a run.
#include "cli/program.hpp"

namespace optpipe::test {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

// Threads as the program chooses them; the tests' own OMP_NUM_THREADS would win.
const std::string kNoThreads = "OMP_NUM_THREADS=";

Words golden_prompt() { return {"--prompt", bundled_golden()["prompts"][0].get<std::string>()}; }
std::string golden_text() { return bundled_golden()["text"][0].get<std::string>() + "\n"; }

json binding_of(const std::string& report) { return json::parse(read_file(report))["binding"]; }

TEST(Binding, TheReportSaysWhereARankWorks) {
  const Folder folder;
  const auto finished = run_optpipe(generate(golden_prompt() + Words{"--json", folder / "r.json"}));
  ASSERT_EQ(finished.status, 0) << finished.err;
  EXPECT_EQ(finished.out, golden_text());
  const auto binding = binding_of(folder / "r.json");
  EXPECT_EQ(binding["mode"], "auto");
  ASSERT_EQ(binding["ranks"].size(), 1u);
  const auto& rank = binding["ranks"][0];
  EXPECT_TRUE(rank["gpu"].is_null());
  EXPECT_EQ(rank["threads"], 1);  // OMP_NUM_THREADS wins
  EXPECT_GT(rank["cores"], 0);
  EXPECT_NE(rank["cpus"], "");
  EXPECT_THAT(rank["memory"].get<std::string>(), testing::AnyOf("bound", "first touch"));
  EXPECT_GT(rank["memory_bytes"], 0);
  if (rank["memory"] == "bound" && rank["memory_bytes_not_strict"] == 0) {
    EXPECT_EQ(rank["pages_on_nodes"], 1.0);
  }
}

TEST(Binding, NoneBindsNothing) {
  const Folder folder;
  const auto finished =
      run_optpipe(generate(golden_prompt() + Words{"--bind", "none", "--json", folder / "r.json"}));
  ASSERT_EQ(finished.status, 0) << finished.err;
  EXPECT_EQ(finished.out, golden_text());
  const auto rank = binding_of(folder / "r.json")["ranks"][0];
  EXPECT_EQ(rank["bound"], false);
  EXPECT_EQ(rank["memory"], "not bound");
  EXPECT_GT(rank["cores"], 0);
}

// hwloc's own variable makes it describe another machine.
TEST(Binding, ReportShowsWhatItWouldDo) {
  const Folder folder;
  const auto finished =
      run_optpipe(generate(golden_prompt() + Words{"--bind", "report", "--json", folder / "r.json"}),
                  {.environment = {"HWLOC_SYNTHETIC=pack:2 [numa] core:3 pu:2", kNoThreads}});
  ASSERT_EQ(finished.status, 0) << finished.err;
  EXPECT_EQ(finished.out, golden_text());
  EXPECT_THAT(finished.err, HasSubstr("rank host"));
  EXPECT_THAT(finished.err, HasSubstr("not bound"));
  const auto rank = binding_of(folder / "r.json")["ranks"][0];
  EXPECT_EQ(rank["numa_nodes"], json({0, 1}));
  EXPECT_EQ(rank["cpus"], "0-11");
  EXPECT_EQ(rank["threads"], 6);
}

#ifdef OPTPIPE_REFUSING
constexpr int kNoFilter = 77;

// Memory binding and io_uring are refused: the run is right all the same, and says so in one line.
void expect_one_message(const Words& words, int ranks) {
  const Folder folder;
  const auto finished = run_optpipe(generate(golden_prompt() + Words{"--json", folder / "r.json"} + words),
                                    {.ranks = ranks, .wrapper = {OPTPIPE_REFUSING}});
  if (finished.status == kNoFilter) GTEST_SKIP() << "this system lets no process install a seccomp filter";
  ASSERT_EQ(finished.status, 0) << finished.err;
  EXPECT_EQ(finished.out, golden_text());
  Words remarks;
  for (const auto& line : log_lines(finished.err))
    if (line.find("refuse") != std::string::npos) remarks.push_back(line);
  ASSERT_EQ(remarks.size(), 1u) << finished.err;
  for (const char* part : {"mbind: Operation not permitted", "--cap-add SYS_NICE"})
    EXPECT_THAT(remarks[0], HasSubstr(part));
  EXPECT_THAT(remarks[0], AnyOf(HasSubstr("one NUMA node"), HasSubstr("spills")));  // what it costs
  const auto binding = binding_of(folder / "r.json");
  ASSERT_EQ(binding["ranks"].size(), static_cast<std::size_t>(ranks));
  EXPECT_EQ(binding["remarks"].size(), 1u);
  for (const auto& rank : binding["ranks"]) {
    EXPECT_EQ(rank["memory"], "first touch");
    EXPECT_EQ(rank["bound"], true);  // threads are
    EXPECT_GT(rank["pages_seen"], 0);
  }
}

TEST(RefusedBinding, OneRank) { expect_one_message({}, 1); }
TEST(RefusedBinding, WithTheDiskTier) { expect_one_message(percent("0 50 0 50 0 50"), 1); }
#ifdef OPTPIPE_TEST_MPI
TEST(RefusedBinding, OnceANodeAndNotOnceARank) { expect_one_message({}, 3); }
#endif
TEST(RefusedBinding, NothingIsSaidWhereNothingIsAsked) {
  const auto finished =
      run_optpipe(generate(golden_prompt() + Words{"--bind", "none"}), {.wrapper = {OPTPIPE_REFUSING}});
  if (finished.status == kNoFilter) GTEST_SKIP() << "this system lets no process install a seccomp filter";
  EXPECT_EQ(finished.status, 0) << finished.err;
  EXPECT_EQ(finished.err.find("refuse"), std::string::npos) << finished.err;
}
#endif

}  // namespace
}  // namespace optpipe::test
