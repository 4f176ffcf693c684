// optpipe bench under mpirun, with the flags of FlexGen's distributed mode.
#include "cli/program.hpp"

namespace optpipe::test {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

TEST(BenchRanks, OneReportOfAllRanks) {
  const Folder folder;
  const auto finished = run_optpipe(bench(Words{"--head-ip",
                                                "127.0.0.1",
                                                "--port",
                                                "7777",
                                                "--use-mpi",
                                                "--gpu-batch-size",
                                                "2",
                                                "--num-gpu-batches",
                                                "3",
                                                "--comm-device",
                                                "cpu",
                                                "--path",
                                                "DUMMY",
                                                "--cut-gen-len",
                                                "2",
                                                "--prompt-len",
                                                "16",
                                                "--gen-len",
                                                "8",
                                                "--no-log",
                                                "--verify",
                                                "--json",
                                                folder / "r.json",
                                                "--trace",
                                                folder / "t.json"} +
                                          percent("20 80 0 100 0 100")),
                                    {.ranks = 2});
  EXPECT_EQ(finished.status, 0) << finished.err;
  EXPECT_EQ(error_lines(finished.err), Words{});
  const auto report = json::parse(read_file(folder / "r.json"));
  EXPECT_EQ(report["ranks"].size(), 2u);
  EXPECT_EQ(report["input"]["micro_batches"], 2);
  EXPECT_EQ(report["result"]["prompts"], 2 * 3 * 2);
  EXPECT_EQ(report["verification"]["differences"], 0);
  EXPECT_EQ(report["projection"]["confidence"], "low");
  EXPECT_GT(report["result"]["decode_s"], report["decode_step_s"][0]);
  // A micro-batch of 6 prompts of 16 tokens, 192 values of 4 bytes each.
  EXPECT_EQ(report["sizes"]["micro_batch_prefill_bytes"], 6 * 16 * 192 * 4);
  EXPECT_GT(report["ranks"][1]["split"]["prefill"]["fill"], 0);
  EXPECT_EQ(report["ranks"][0]["split"]["prefill"]["fill"], 0);
  ASSERT_EQ(report["links"].size(), 1u) << "from each to the next";
  EXPECT_GT(report["links"][0]["bytes_s"], 0);
  // Both processes run on this host, and are measured together.
  std::uint64_t measured = 0, planned = 0;
  for (const auto& rank : report["memory"]) {
    measured += rank["measured"]["host"].get<std::uint64_t>();
    planned += rank["planned"]["pinned"]["total"].get<std::uint64_t>() +
               rank["planned"]["plain"]["total"].get<std::uint64_t>();
  }
  EXPECT_EQ(report["sizes"]["peak_host_bytes"], measured);
  EXPECT_EQ(report["sizes"]["planned_host_bytes"], planned);
  if (!kSanitized) EXPECT_LE(measured, planned);
  EXPECT_EQ(report["sizes"]["peak_gpu_bytes"], 0);
  const auto first = finished.out.find("model size: ");
  EXPECT_THAT(finished.out.substr(first + 1), HasSubstr("prefill latency: "));
  EXPECT_EQ(finished.out.find("prefill latency: "), finished.out.rfind("prefill latency: "))
      << "once, not once a rank";
  EXPECT_GT(json::parse(read_file(folder / "t.json"))["traceEvents"].size(), 100u);
}

}  // namespace
}  // namespace optpipe::test
