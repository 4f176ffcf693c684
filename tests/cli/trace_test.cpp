// --trace: what a user opens in a viewer.
#include <map>
#include <set>

#include "cli/program.hpp"

namespace optpipe::test {
namespace {

using nlohmann::json;

class TraceFile : public ::testing::TestWithParam<int> {};

TEST_P(TraceFile, HoldsAllRanksAndQueuesInOrder) {
  const int ranks = GetParam();
  const Folder folder;
  const auto finished =
      run_optpipe(generate(Words{"--prompt", "Paris is the capital city of", "The", "--trace",
                                 folder / "t.json", "--json", folder / "r.json"} +
                           percent("20 40 20 40 50 25")),
                  {.ranks = ranks});
  ASSERT_EQ(finished.status, 0) << finished.err;
  const json trace = json::parse(read_file(folder / "t.json"));
  std::map<std::pair<int, std::string>, std::vector<json>> lanes;
  std::set<std::string> kinds;
  for (const auto& event : trace["traceEvents"]) {
    if (event["ph"] != "X") continue;
    lanes[{event["pid"].get<int>(), event["cat"].get<std::string>()}].push_back(event);
    kinds.insert(event["args"]["step"].get<std::string>());
  }
  for (const std::string kind : {"read_weights", "load_weights", "read_kv", "load_kv", "store_kv", "write_kv",
                                 "read_hidden", "load_hidden", "store_hidden", "write_hidden", "embed",
                                 "project_qkv", "attend", "feed_forward", "sample", "accept"})
    EXPECT_EQ(kinds.count(kind), 1u) << kind;
  for (const auto& [lane, events] : lanes) {
    double end = 0;
    for (const auto& event : events) {
      EXPECT_GE(event["ts"].get<double>(), end - 0.01) << lane.second << " of rank " << lane.first;
      end = event["ts"].get<double>() + event["dur"].get<double>();
    }
  }
  const double slack = trace["otherData"]["clock_error_us"].get<double>() + 0.01;
  for (int rank = 0; rank < ranks; ++rank) {
    for (const std::string queue : {"compute", "load", "store", "disk_read", "disk_write"})
      EXPECT_GT(lanes.count({rank, queue}), 0u) << queue << " of rank " << rank;
    if (rank == 0) continue;
    const auto &sends = lanes.at({rank - 1, "send"}), &receives = lanes.at({rank, "recv"});
    ASSERT_EQ(sends.size(), receives.size());
    for (std::size_t i = 0; i < sends.size(); ++i)
      EXPECT_GE(receives[i]["ts"].get<double>(), sends[i]["ts"].get<double>() - slack) << "message " << i;
  }
  const json report = json::parse(read_file(folder / "r.json"));
  ASSERT_EQ(report["ranks"].size(), static_cast<std::size_t>(ranks));
  for (const auto& rank : report["ranks"])
    EXPECT_GT(rank["phases"]["decode"]["busy_s"]["compute"].get<double>(), 0);
  EXPECT_THAT(finished.err, ::testing::HasSubstr("bound by"));
}

INSTANTIATE_TEST_SUITE_P(Ranks, TraceFile, ::testing::Values(1, 3));

}  // namespace
}  // namespace optpipe::test
