#include "optpipe/metrics/memory_use.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace optpipe::metrics {
namespace {

constexpr Bytes kContext = planner::runtime::kCudaContext;

RankMemory rank(const char* host, Bytes gpu, Bytes planned_gpu, Bytes in_host, Bytes planned_host) {
  RankMemory rank;
  rank.host = host;
  rank.planned.add(planner::Place::gpu, planner::MemoryClass::kv, planned_gpu);
  rank.planned.add(planner::Place::pinned, planner::MemoryClass::kv, planned_host);
  rank.measured = {.gpu = gpu, .gpu_arenas = gpu, .host = in_host};
  return rank;
}

TEST(PeakMemory, OfTheFullestGpuAndHost) {
  const std::vector ranks{rank("a", 5 * kGiB, 6 * kGiB, 10 * kGiB, 11 * kGiB),
                          rank("a", 7 * kGiB, 8 * kGiB, 20 * kGiB, 21 * kGiB),
                          rank("b", 6 * kGiB, 9 * kGiB, 25 * kGiB, 26 * kGiB)};
  const auto peak = find_peak(ranks, std::vector<std::string>{"0000:01", "0000:02", "0000:01"});
  EXPECT_EQ(peak.gpu, 7 * kGiB);
  EXPECT_EQ(peak.planned_gpu, 8 * kGiB);
  EXPECT_EQ(peak.host, 30 * kGiB) << "both ranks of host a";
  EXPECT_EQ(peak.planned_host, 32 * kGiB);
}

// cudaMemGetInfo shows each of them what both have taken, but no context besides its own.
TEST(PeakMemory, RanksOnOneGpuCountTogether) {
  const std::vector ranks{rank("a", 9 * kGiB + kContext, 5 * kGiB, 1, 1),
                          rank("a", 9 * kGiB + kContext, 6 * kGiB, 1, 1)};
  const auto peak = find_peak(ranks, std::vector<std::string>{"0000:01", "0000:01"});
  EXPECT_EQ(peak.gpu, 9 * kGiB + 2 * kContext);
  EXPECT_EQ(peak.planned_gpu, 11 * kGiB);
}

TEST(PeakMemory, WithoutGpus) {
  const auto peak = find_peak(std::vector{rank("a", 0, 0, 3, 4)}, std::vector<std::string>{""});
  EXPECT_EQ(peak.gpu, 0u);
  EXPECT_EQ(peak.planned_gpu, 0u);
  EXPECT_EQ(peak.host, 3u);
}

TEST(RankMemory, ReportKeepsPlannedAndMeasured) {
  const auto json = to_json(std::vector{rank("a", 5, 6, 7, 8)})[0];
  EXPECT_EQ(json["measured"]["gpu"], 5);
  EXPECT_EQ(json["measured"]["gpu_arenas"], 5);
  EXPECT_EQ(json["planned"]["gpu"]["total"], 6);
  EXPECT_EQ(json["planned"]["pinned"]["kv"], 8);
}

}  // namespace
}  // namespace optpipe::metrics
