// optpipe probe: what it prints, and the file that optpipe plan reads.
#include "cli/program.hpp"

namespace optpipe::test {
namespace {

using ::testing::HasSubstr;

TEST(Probe, MeasuresTwoRanks) {
  const Folder folder;
  const auto finished = run_optpipe({"probe", "--json", folder / "box.json", "--offload-dir", folder.path()},
                                    {.ranks = 2, .seconds = 100});
  ASSERT_EQ(finished.status, 0) << finished.err;
  EXPECT_THAT(finished.out, HasSubstr("rank 0 to 1: through host memory"));
  const auto report = nlohmann::json::parse(read_file(folder / "box.json"));
  ASSERT_EQ(report["ranks"].size(), 2u);
  EXPECT_EQ(report["machine"]["devices"], 2);
  for (const auto& rank : report["ranks"]) {
    for (const char* way : {"in_bytes_s", "out_bytes_s", "both_bytes_s"}) {
      EXPECT_GT(rank["copies_alone"][way], 1e7);
      EXPECT_GT(rank["copies_together"][way], 1e7);
    }
    EXPECT_GT(rank["host_memory"]["read_bytes_s"], 1e7);
    EXPECT_GT(rank["disk"]["read_bytes_s"], 1e6);
    for (const auto& rate : rank["device"]["prompt_products"]) EXPECT_GT(rate["flops_s"], 1e8);
  }
  EXPECT_GT(report["machine"]["host_link"]["bytes_s"], 1e7);
}

TEST(Probe, AFolderThatIsNotThereIsRefused) {
  const auto finished = run_optpipe({"probe", "--offload-dir", "/proc/nowhere"}, {.seconds = 60});
  expect_refused(finished, 4, {"/proc/nowhere"});
}

}  // namespace
}  // namespace optpipe::test
